"""The requests of a run as users see them: what was sent, and what became of it."""

from __future__ import annotations

from collections.abc import Mapping
from fnmatch import fnmatchcase
from typing import Any, Final, final

import msgspec

from ..provider.matching import fits_host
from ..provider.request import Request


@final
class Record(msgspec.Struct):
    """One request and what became of it; times are seconds since the start of the run.

    `status` is `None` until a reply is sent; `reached` is when the reply had reached the
    client as a whole; `delivered` says that it was a success and reached the client; `fault`
    is the number, from 0, of the fault that spoiled the answer; `first` is when the first part of a
    stream was sent, in nanoseconds. `carries` has the numbers of the lines of batches whose answers
    are in the reply.
    """

    request: Request
    sent: float
    scope: str | None = None
    reached: float | None = None
    status: int | None = None
    retry_after: float | None = None
    delivered: bool = False
    left: bool = False
    fault: int | None = None
    first: int | None = None
    carries: tuple[int, ...] = ()

    @property
    def id(self) -> int:
        """The number of the request, from 1."""
        return self.request.id

    @property
    def item(self) -> str | None:
        """The item that the request is about, if one is known."""
        return self.request.item

    @property
    def inferred(self) -> bool:
        """Whether the item was inferred from the prompt: the client did not name it."""
        return not self.request.declared

    @property
    def model(self) -> str:
        """The model asked for."""
        return self.request.model

    @property
    def key(self) -> str:
        """The label of the API key: `key-1` for the first one of the run, then `key-2`, …"""
        return self.request.key

    @property
    def dialect(self) -> str:
        """The vendor whose dialect the client speaks; `direct` for a direct call."""
        return self.request.dialect

    @property
    def prompt(self) -> str:
        """The text of the last user message."""
        return self.request.prompt

    @property
    def payload(self) -> Mapping[str, Any]:
        """The decoded body; empty in a direct call."""
        return self.request.payload

    @property
    def headers(self) -> Mapping[str, str]:
        """The headers by their lower-case names, without any secret; empty in a direct call."""
        return self.request.headers

    @property
    def batch(self) -> str | None:
        """The id of the batch, or of the background response, that the request is a line of."""
        return self.request.batch

    @property
    def custom_id(self) -> str | None:
        """The `custom_id` of a line of a batch."""
        return self.request.custom_id

    @property
    def host(self) -> str:
        """The host that was asked, with its port if the client wrote one; empty in a direct call."""
        return self.request.host


_KINDS: Final[dict[type, str]] = {str: "a text", int: "a number"}


class Requests(tuple[Record, ...]):
    """All requests of a run, in the order of their arrival."""

    __slots__ = ()

    def of(
        self,
        *,
        item: str | None = None,
        model: str | None = None,
        status: int | None = None,
        host: str | None = None,
    ) -> Requests:
        """Those that fit all that is given; `item`, `model` and `host` are shell patterns.

        A host without a port is meant at any port.

        >>> Requests().of(item="row-*", status=429)
        ()

        Raises:
            TypeError: a text is given as something else, or the status is no number.
        """
        for name, value, kind in (
            ("item", item, str),
            ("model", model, str),
            ("status", status, int),
            ("host", host, str),
        ):
            if value is not None and not isinstance(value, kind):
                raise TypeError(f"requests.of({name}={value!r}): give {_KINDS[kind]}")
        return Requests(
            record
            for record in self
            if _fits(item, record.item)
            and _fits(model, record.model)
            and (host is None or fits_host(host, record.host))
            and status in (None, record.status)
        )


def _fits(pattern: str | None, name: str | None) -> bool:
    return pattern is None or (name is not None and (name == pattern or fnmatchcase(name, pattern)))
