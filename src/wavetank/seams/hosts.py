"""Which hosts the fake answers for, and what is said to the others."""

from __future__ import annotations

from typing import Final

from ..provider.host_patterns import is_loopback
from ..provider.hosts import Route
from ..provider.http import HttpRequest
from ..provider.registry import cards
from ..provider.vendor_card import COMPATIBLE
from ..shown import shortened
from ..sim.refused_io import LEAVE_OUT
from .desk import Desk
from .errors import UnknownHost

_USUAL_PORTS: Final = (None, 80, 443)


def place(host: str, port: int | None) -> str:
    """A host, and its port where that is not the usual one.

    >>> place("api.openai.com", 443), place("localhost", 4000), place("::1", 11434)
    ('api.openai.com', 'localhost:4000', '[::1]:11434')
    """
    if port in _USUAL_PORTS:
        return host
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def require_known(desk: Desk, host: str, port: int | None = None) -> None:
    """The desk takes note of a host that is refused.

    Raises:
        UnknownHost: the fake does not answer for it; the text names it and the fix.
    """
    if desk.hosts.card_at(host, port) is None:
        where = place(host, port)
        desk.unknown_hosts[where] = None
        raise refused(where, loopback=is_loopback(host))


def route_of(desk: Desk, http: HttpRequest) -> Route | None:
    """What answers for a request to a host that is known; the desk takes note of a path that is not."""
    route = desk.hosts.route(http)
    if route is None:
        desk.unknown_hosts[f"{http.host}{http.path}"] = None
    return route


def unknown_path(http: HttpRequest) -> str:
    """What is said of a path that no rule for its host covers."""
    return f"the fake answers for other paths of {shortened(http.host)}, and not for {shortened(http.path)}"


def refused(where: str, *, loopback: bool = False) -> UnknownHost:
    """The error for a host the fake does not answer for."""
    if loopback:
        fix = f"a real server and virtual time cannot meet: {LEAVE_OUT}"
    else:
        fix = (
            f"if an LLM is behind it, write llm_hosts = {shortened(where)}=openai in the ini file, or call "
            f'fake_llm.add_host("{shortened(where)}", dialect="openai"); leave the test out with '
            "@pytest.mark.llm_off if it means the real host, or check the client's base_url"
        )
    known = ", ".join(card.hosts[0] for card in cards() if card.wire != COMPATIBLE)
    return UnknownHost(
        f"no provider of the tank answers for {shortened(where)}; nothing was sent. "
        f"The fake answers for {known} and more: {fix}"
    )
