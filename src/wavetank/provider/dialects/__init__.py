"""Wire formats, one file or folder for each provider; each is read when it is first spoken."""

from __future__ import annotations

from importlib import import_module
from typing import Final, cast, final

from ..http import Dialect
from .hosts import HOSTS

_MODULES: Final = {"vertex": "gemini"}
"""Where a dialect is that has no module of its own name."""


@final
class Late:
    """A dialect whose module is imported when it is first spoken."""

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

    def __repr__(self) -> str:
        return f"<Late {self.name} at {', '.join(self.hosts)}>"


DIALECTS: Final[tuple[Late, ...]] = tuple(Late(name, hosts) for name, hosts in HOSTS.items())
"""All dialects."""

__all__ = ["DIALECTS", "Late"]
