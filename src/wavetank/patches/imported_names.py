"""Replace functions and classes of the standard library wherever a module holds them by name.

`from time import sleep` and `from threading import Lock` bind the original in the importing
module; replacing only the attribute of `time` or `threading` would miss it.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import ModuleType
from typing import Any, Final, NamedTuple, final

from ..sim.origin import is_own_file

_PACKAGE: Final = __name__.partition(".")[0] + "."
_SOURCES: Final = ("_thread", "_queue")
"""Where the originals live; the interpreter itself takes them from there."""

_is_module: Final = ModuleType.__instancecheck__

Modules = dict[int, ModuleType]
"""The modules of the process by their identity: never by their places, which change."""

Seen = tuple[Modules, dict[int, int]]
"""The modules, and how many names those have that may get more."""

_shared: list[Seen] | None = None
"""The look that all tables share inside a block of `one_look`; empty until the first one looks."""


class _Last(NamedTuple):
    """What `sys.modules` held at the last look, which seldom changes, and what is known of it."""

    there: list[Any]
    modules: Modules
    growing: list[tuple[int, dict[str, Any]]]
    complete: set[int]


_last = _Last([], {}, [], set())


@contextmanager
def one_look() -> Iterator[None]:
    """Look at the modules once for all tables that are put in or taken out within the block.

    A process may have thousands of modules. Nothing may be imported between the tables of a block.
    """
    global _shared
    _shared = []
    try:
        yield
    finally:
        _shared = None


def _modules() -> Seen:
    if _shared:
        return _shared[0]
    there = list(sys.modules.values())
    if there != _last.there:
        _take_stock(there)
    seen = _last.modules, {key: len(names) for key, names in _last.growing}
    if _shared is not None:
        _shared.append(seen)
    return seen


def _take_stock(there: list[Any]) -> None:
    global _last
    found = list(filter(_is_module, there))
    modules = dict(zip(map(id, found), found, strict=True))
    # The identities of before are still those of the same modules, since `_last` keeps them alive.
    complete = _last.complete & modules.keys()
    unsure = modules.keys() - complete
    complete |= {key for key in unsure if _is_complete(vars(modules[key]))}
    growing = [(key, vars(modules[key])) for key in unsure - complete]
    _last = _Last(there, modules, growing, complete)


def _is_complete(names: Mapping[str, Any]) -> bool:
    """Whether a module gets no more names: it is loaded, not the user's own, and loads nothing when asked.

    To count the names of thousands of such modules takes a fifth of the time of a short run.
    """
    file, spec = names.get("__file__"), names.get("__spec__")
    if getattr(spec, "_initializing", False) or "__getattr__" in names:
        return False
    if file is None:
        return getattr(spec, "origin", None) in ("built-in", "frozen")
    return isinstance(file, str) and not is_own_file(file)


@final
class ImportedNames:
    """Pairs of an original and its stand-in, and the global names that hold either.

    Names of wavetank's own modules are not replaced; neither are defaults, attributes and items.
    """

    def __init__(self, pairs: Sequence[tuple[Any, Any]]) -> None:
        self._pairs = tuple(pairs)
        self._wanted = frozenset(id(thing) for pair in self._pairs for thing in pair)
        self._modules: Modules = {}
        self._sizes: dict[int, int] = {}
        self._names: dict[int, tuple[ModuleType, tuple[str, ...]]] = {}
        """The names of interest in each module that has some."""

    def put_in(self) -> None:
        """Bind the stand-ins."""
        self._swap({id(original): stand_in for original, stand_in in self._pairs})

    def take_out(self) -> None:
        """Bind the originals again, also where a stand-in was imported meanwhile."""
        self._swap({id(stand_in): original for original, stand_in in self._pairs})

    def _swap(self, by_identity: Mapping[int, Any]) -> None:
        self._look()
        for module, names in self._names.values():
            for name in names:
                other = by_identity.get(id(vars(module).get(name)))
                if other is not None:
                    setattr(module, name, other)

    def _look(self) -> None:
        """Find the names again in modules that are new or have grown; a process has thousands of others."""
        modules, sizes = _modules()
        if modules is self._modules and sizes == self._sizes:
            return
        new = modules.keys() - self._modules.keys()
        new |= {key for key, _ in sizes.items() ^ self._sizes.items()}  # grown, or complete since
        for key in (self._modules.keys() - modules.keys()) | new:
            self._names.pop(key, None)
        for key in new & modules.keys():
            if names := self._names_in(modules[key]):
                self._names[key] = modules[key], names
        self._modules, self._sizes = modules, sizes

    def _names_in(self, module: ModuleType) -> tuple[str, ...]:
        """The global names of interest in a module; none in wavetank's own."""
        own_name = vars(module).get("__name__")
        if own_name in _SOURCES or str(own_name).startswith(_PACKAGE):
            return ()
        return tuple(name for name, value in list(vars(module).items()) if id(value) in self._wanted)
