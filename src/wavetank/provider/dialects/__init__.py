"""Wire formats, one file or folder for each provider; each is read when it is first spoken."""

from __future__ import annotations

from importlib import import_module
from typing import Final, cast, final

from ...clock import EPOCH_NS
from ..http import Decoded, Dialect, Frame, HttpRequest
from ..model import Reply
from .hosts import HOSTS

_MODULES: Final = {"vertex": "gemini"}
"""Where a dialect is that has no module of its own name."""


@final
class Late:
    """A dialect whose module is imported when it is first spoken; see `Dialect`."""

    def __init__(self, name: str, hosts: tuple[str, ...]) -> None:
        self.name = name
        self.hosts = hosts
        self._spoken: Dialect | None = None

    @property
    def spoken(self) -> Dialect:
        """The dialect itself."""
        if self._spoken is None:
            module = import_module(f"{__name__}.{_MODULES.get(self.name, self.name)}")
            self._spoken = cast(Dialect, getattr(module, self.name.upper()))
        return self._spoken

    def decode(self, request: HttpRequest, *, now: int | None = None, epoch_ns: int = EPOCH_NS) -> Decoded:
        """Read a request; see `Dialect.decode`."""
        return self.spoken.decode(request, now=now, epoch_ns=epoch_ns)

    def encode(self, decoded: Decoded, reply: Reply, *, epoch_ns: int = EPOCH_NS) -> Frame:
        """Write one part of an outcome; see `Dialect.encode`."""
        return self.spoken.encode(decoded, reply, epoch_ns=epoch_ns)

    def __repr__(self) -> str:
        return f"<Late {self.name} at {', '.join(self.hosts)}>"


DIALECTS: Final[tuple[Late, ...]] = tuple(Late(name, hosts) for name, hosts in HOSTS.items())
"""All dialects."""

__all__ = ["DIALECTS", "Late"]
