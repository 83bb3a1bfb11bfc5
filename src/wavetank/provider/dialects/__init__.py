"""Wire formats, one file or folder for each provider; each is imported when it is first used."""

from __future__ import annotations

from importlib import import_module
from typing import Final, cast, final

from ..http import Dialect
from .hosts import HOSTS

_MODULES: Final = {"vertex": "gemini"}
"""Where a dialect is that has no module of its own name."""


@final
class LazyDialect:
    """A dialect whose module is imported when it is first used."""

    def __init__(self, name: str, hosts: tuple[str, ...]) -> None:
        self.name = name
        self.hosts = hosts
        self._loaded: Dialect | None = None

    @property
    def loaded(self) -> Dialect:
        """The dialect itself."""
        if self._loaded is None:
            module = import_module(f"{__name__}.{_MODULES.get(self.name, self.name)}")
            self._loaded = cast(Dialect, getattr(module, self.name.upper()))
        return self._loaded

    def __repr__(self) -> str:
        return f"<LazyDialect {self.name} at {', '.join(self.hosts)}>"


DIALECTS: Final[tuple[LazyDialect, ...]] = tuple(LazyDialect(name, hosts) for name, hosts in HOSTS.items())
"""All dialects."""

__all__ = ["DIALECTS", "LazyDialect"]
