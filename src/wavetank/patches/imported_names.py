"""Replace functions and classes of the standard library wherever a module holds them by name.

`from time import sleep` and `from threading import Lock` bind the original in the importing
module; replacing only the attribute of `time` or `threading` would miss it.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import ModuleType
from typing import Any, Final, final

_PACKAGE: Final = __name__.partition(".")[0] + "."
_SOURCES: Final = ("_thread", "_queue")
"""Where the originals live; the interpreter itself takes them from there."""

_is_module: Final = ModuleType.__instancecheck__

Modules = tuple[list[ModuleType], list[int]]
"""The modules of the process, and how many names each has."""

_shared: list[Modules] | None = None
"""The look that all tables share inside a block of `one_look`; empty until the first one looks."""

_last: tuple[list[Any], list[ModuleType], list[dict[str, Any]]] = [], [], []
"""What `sys.modules` held at the last look, and the modules among it with their names: it seldom changes."""


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


def _modules() -> Modules:
    if _shared:
        return _shared[0]
    global _last
    there, modules, namespaces = list(sys.modules.values()), _last[1], _last[2]
    if there != _last[0]:
        modules = list(filter(_is_module, there))
        namespaces = list(map(vars, modules))
        _last = there, modules, namespaces
    seen = modules, list(map(len, namespaces))
    if _shared is not None:
        _shared.append(seen)
    return seen


@final
class ImportedNames:
    """Pairs of an original and its stand-in, and the global names that hold either.

    Names of wavetank's own modules are not replaced; neither are defaults, attributes and items.
    """

    def __init__(self, pairs: Sequence[tuple[Any, Any]]) -> None:
        self._pairs = tuple(pairs)
        self._wanted = frozenset(id(thing) for pair in self._pairs for thing in pair)
        self._modules: list[ModuleType] = []
        self._sizes: list[int] = []
        self._names: dict[int, tuple[ModuleType, tuple[str, ...]]] = {}
        """By the identity of the module, which `_modules` keeps alive."""

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
        if modules == self._modules and sizes == self._sizes:
            return
        # Not by their places: a program that is run as `__main__` takes the place of the second of them.
        before = dict(zip(map(id, self._modules), self._sizes, strict=True))
        sizes_now = dict(zip(map(id, modules), sizes, strict=True))
        found = {key: names for key, names in self._names.items() if sizes_now.get(key) == before[key]}
        for module, size in zip(modules, sizes, strict=True):
            if before.get(id(module)) != size and (names := self._names_in(module)):
                found[id(module)] = module, names
        self._names, self._modules, self._sizes = found, modules, sizes

    def _names_in(self, module: ModuleType) -> tuple[str, ...]:
        """The global names of interest in a module; none in wavetank's own."""
        own_name = vars(module).get("__name__")
        if own_name in _SOURCES or str(own_name).startswith(_PACKAGE):
            return ()
        return tuple(name for name, value in list(vars(module).items()) if id(value) in self._wanted)
