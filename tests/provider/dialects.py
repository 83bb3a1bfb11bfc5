"""Dialects by their hosts, as the fake finds them."""

from __future__ import annotations

from collections.abc import Mapping

from wavetank.provider.host_rules import HostApp, HostTable
from wavetank.provider.http import Dialect, HttpRequest
from wavetank.provider.vendor_registry import dialect_of, vendor_at


def dialect_for(host: str, port: int | None = None) -> Dialect | None:
    """The dialect of a vendor's host."""
    card = vendor_at(host, port)
    return None if card is None else dialect_of(card)


def route(host: str, path: str, headers: Mapping[str, str]) -> Dialect:
    """The dialect of a request to an address of our own."""
    http = HttpRequest(method="POST", host=host, path=path, headers=headers)
    answers = HostTable().route_here(http).answers
    assert not isinstance(answers, HostApp)
    return answers
