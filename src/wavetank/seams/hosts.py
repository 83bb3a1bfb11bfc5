"""Which hosts the fake answers for, and what is said to the others."""

from __future__ import annotations

from ..provider.dialects import DIALECTS
from ..provider.host_patterns import is_loopback
from ..provider.wire import Dialect, dialect_for
from ..shown import shortened
from ..sim.refused_io import LEAVE_OUT
from .desk import Desk
from .errors import UnknownHost


def is_unknown(host: str) -> bool:
    """Whether a host is one that the fake does not answer for."""
    return dialect_for(host) is None


def dialect_of(desk: Desk, host: str, port: int | None = None) -> Dialect:
    """The dialect of a host; the desk takes note of a host that is refused.

    Raises:
        UnknownHost: the fake does not answer for it; the text names it and the fix.
    """
    dialect = dialect_for(host, port)
    if dialect is None:
        where = host if port is None else f"{host}:{port}"
        desk.unknown_hosts[where] = None
        raise refused(where, loopback=is_loopback(host))
    return dialect


def refused(where: str, *, loopback: bool = False) -> UnknownHost:
    """The error for a host the fake does not answer for."""
    fix = (
        f"a real server and virtual time cannot meet: {LEAVE_OUT}"
        if loopback
        else "leave the test out with @pytest.mark.llm_off if it means that host, or "
        "check the client's base_url and proxy settings"
    )
    known = ", ".join(dialect.hosts[0] for dialect in DIALECTS)
    return UnknownHost(
        f"no provider of the tank answers for {shortened(where)}; nothing was sent. "
        f"The fake answers for {known} and more: {fix}"
    )
