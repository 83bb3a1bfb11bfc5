"""The error that a client gets from a host for which the fake does not answer."""

from __future__ import annotations

import errno
from fnmatch import fnmatchcase
from typing import Final

from ..provider.host_patterns import is_loopback
from ..provider.host_rules import dialect_by_path
from ..provider.http import HttpRequest
from ..provider.vendor_card import COMPATIBLE
from ..provider.vendor_registry import cards
from ..scenario import Stage
from ..shown import shortened
from ..sim.origin import NOWHERE
from ..sim.refused_io import LEAVE_OUT
from .desk import Desk
from .errors import UnknownHost
from .exchange import Attempt

_OF_THEIR_OWN: Final = {
    "bedrock*.amazonaws.com": "Amazon Bedrock's agents and management",
    "*.sagemaker.*.amazonaws.com": "Amazon SageMaker",
}
"""Hosts of LLMs that speak no dialect of the fake."""

_METADATA: Final = ("169.254.169.254", "169.254.170.2", "fd00:ec2::254", "metadata.google.internal")
"""Where the SDKs of clouds look for credentials last, if they have found none elsewhere."""

_USUAL_PORTS: Final = (None, 80, 443)


def place(host: str, port: int | None) -> str:
    """A host, and its port where that is not the usual one.

    >>> place("api.openai.com", 443), place("localhost", 4000), place("::1", 11434)
    ('api.openai.com', 'localhost:4000', '[::1]:11434')
    """
    if port in _USUAL_PORTS:
        return host
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def connect(
    desk: Desk, host: str, port: int | None, attempt: Attempt | None, *, stage: Stage | None = None
) -> None:
    """A client wants to connect to a host; one that is refused is logged, with what `attempt` asks for.

    `stage` as in `Desk.connect`.

    Raises:
        UnknownHost: the fake does not answer for it; the text names it and the fix.
        OSError: the scenario has the connection fail, and it is not to an app's host, or the fake does not
            answer for the host and the test says so: then programs go on as they would without it.
    """
    where = place(host, port)
    if not desk.hosts.knows(host, port):
        dialect = _note_unknown(desk, where, attempt)
        error = refused(where, dialect or "openai", loopback=is_loopback(host))
        if desk.is_declared(where):
            raise ConnectionRefusedError(errno.ECONNREFUSED, str(error))
        raise error
    if not desk.hosts.is_app(host, port):
        desk.connect(where, stage)


def unknown_path(desk: Desk, http: HttpRequest, attempt: Attempt) -> str:
    """What is said of a path that no rule for its host covers; it is logged as an unknown host is."""
    _note_unknown(desk, http.host, attempt)
    return f"the fake answers for other paths of {shortened(http.host)}, and not for {shortened(http.path)}"


def _note_unknown(desk: Desk, host: str, attempt: Attempt | None) -> str | None:
    """The dialect that has such a path, if one has; else the path, which may be a secret, is not kept."""
    target, origin = (attempt.target, attempt.origin) if attempt is not None else ("", NOWHERE)
    dialect = dialect_by_path(*target.split(" ", 1)) if target else None
    desk.note(
        "unknown-host",
        host=host,
        target=desk.secrets.hide(target) if dialect is not None else None,
        dialect=dialect,
        task=origin.task,
        file=origin.file,
        line=origin.line,
    )
    return dialect


def refused(where: str, dialect: str = "openai", *, loopback: bool = False) -> UnknownHost:
    """The error for a host the fake does not answer for; `dialect` is the one it may speak."""
    own = next((name for pattern, name in _OF_THEIR_OWN.items() if fnmatchcase(where, pattern)), None)
    if own is not None:
        fix = (
            f"wavetank doesn't speak the wire format of {own}; answer for it with an app of your own, "
            f'fake_llm.add_host("{shortened(where)}", app=...), or use a provider of the list'
        )
    elif where in _METADATA:
        fix = (
            "it is a cloud's metadata service, where an SDK looks for credentials that it has not found "
            "elsewhere; give the test some of any value, such as AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY "
            "in the environment, or access_token=... for Google's"
        )
    elif loopback:
        fix = f"a real server and virtual time cannot meet: {LEAVE_OUT}"
    else:
        host = shortened(where)
        fix = (
            f"if an LLM is behind it, write llm_hosts = {host}={dialect} in the ini file, or call "
            f'fake_llm.add_host("{host}", dialect="{dialect}"); leave the test out with '
            "@pytest.mark.llm_off if it means the real host, or check the client's base_url"
        )
    known = ", ".join(card.hosts[0] for card in cards() if card.wire != COMPATIBLE)
    return UnknownHost(
        f"no provider of the tank answers for {shortened(where)}; nothing was sent. "
        f"The fake answers for {known} and more: {fix}"
    )
