"""Which hosts the fake answers for, and what is said to the others."""

from __future__ import annotations

from ..provider.dialects import DIALECTS
from ..provider.naming import is_loopback
from ..provider.wire import Dialect, dialect_for
from ..shown import shortened
from .errors import UnknownHost


def dialect_of(host: str, port: int | None = None) -> Dialect:
    """The dialect spoken at a host.

    Raises:
        UnknownHost: the fake does not answer for it; the text names it and the mend.
    """
    dialect = dialect_for(host, port)
    if dialect is None:
        raise refused(host if port is None else f"{host}:{port}", loopback=is_loopback(host))
    return dialect


def refused(where: str, *, loopback: bool = False) -> UnknownHost:
    """The error for a host the fake does not answer for."""
    mend = (
        "a real server and virtual time cannot meet: give the test real time with "
        '@pytest.mark.llm_clock("real")'
        if loopback
        else "check the client's base_url and proxy settings"
    )
    known = ", ".join(dialect.hosts[0] for dialect in DIALECTS)
    return UnknownHost(
        f"no provider of the tank answers for {shortened(where)}; nothing was sent. "
        f"The fake answers for {known} and more: {mend}"
    )
