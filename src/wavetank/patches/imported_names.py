"""Replace functions and classes of the standard library wherever a module holds them by name.

`from time import sleep` and `from threading import Lock` bind the original in the importing
module; replacing only the attribute of `time` or `threading` would miss it.
"""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import ModuleType
from typing import Any, Final, final

from ..sim.origin import is_own_file

_PACKAGE: Final = __name__.partition(".")[0] + "."
_SOURCES: Final = ("_thread", "_queue")
"""Where the originals live; the interpreter itself takes them from there."""

_is_module: Final = ModuleType.__instancecheck__

_REMEMBERED: Final = 1000
"""So many changes are remembered; a table that has missed more goes through all modules again."""


@final
class _Stock:
    """The modules of the process by their identity, and which of them have changed, for all tables.

    A process may have thousands, and few of them change between two looks.
    """

    def __init__(self) -> None:
        self.modules: dict[int, ModuleType] = {}
        self.number = 0
        """How many looks have seen a change."""
        self.looked: bool | None = None
        """Whether the block of `one_look` has had its look; `None` outside one."""
        self._changes: deque[set[int]] = deque(maxlen=_REMEMBERED)
        self._there: list[Any] = []
        self._growing: dict[int, dict[str, Any]] = {}
        """The names of each module that may get more."""
        self._sizes: dict[int, int] = {}
        """How many names those had."""
        self._loading: set[int] = set()

    def look(self) -> None:
        """Note which modules have come, gone, got more names or been loaded.

        A module that loads itself when it is looked at may raise; the next look finds all as it was then.
        """
        if self.looked:
            return
        there = list(sys.modules.values())
        changed = set[int]() if there == self._there else self._take_stock(there)
        # Counted when all modules have been looked at: to look at one may give names to another.
        sizes = {key: len(names) for key, names in self._growing.items()}
        if sizes != self._sizes:
            changed |= {key for key, size in sizes.items() if self._sizes.get(key) != size}
            self._sizes = sizes
        if changed:
            self.number += 1
            self._changes.append(changed)
        if self.looked is not None:
            self.looked = True

    def changed_since(self, number: int) -> set[int] | None:
        """The modules that have changed since then, also those gone; `None` if it is too long ago."""
        missed = self.number - number
        if missed > len(self._changes):
            return None
        return set[int]().union(*(self._changes[-each] for each in range(1, missed + 1)))

    def _take_stock(self, there: list[Any]) -> set[int]:
        """Keep what is there now; the modules that have come, gone or been loaded."""
        found = list(filter(_is_module, there))
        modules = dict(zip(map(id, found), found, strict=True))
        gone, new = self.modules.keys() - modules.keys(), modules.keys() - self.modules.keys()
        growing = {key: names for key, names in self._growing.items() if key not in gone}
        changed, unsure, loading = gone | new, (self._loading - gone) | new, set[int]()
        for key in unsure:
            names = vars(modules[key])
            if _is_loading(names):
                loading.add(key)
            else:
                changed.add(key)
            if key in loading or not _is_complete(names):
                growing[key] = names
            else:
                growing.pop(key, None)
        # The old modules are kept alive until here, so that no new one has an identity of theirs.
        self._there, self.modules, self._growing, self._loading = there, modules, growing, loading
        return changed


def _is_loading(names: Mapping[str, Any]) -> bool:
    return bool(getattr(names.get("__spec__"), "_initializing", False))


def _is_complete(names: Mapping[str, Any]) -> bool:
    """Whether a loaded module gets no more names: it is not the user's own, and loads nothing when asked.

    To count the names of thousands of such modules takes a fifth of the time of a short run.
    """
    if "__getattr__" in names:
        return False
    file = names.get("__file__")
    if file is None:
        return getattr(names.get("__spec__"), "origin", None) in ("built-in", "frozen")
    return isinstance(file, str) and not is_own_file(file)


_stock = _Stock()


@contextmanager
def one_look() -> Iterator[None]:
    """Look at the modules once for all tables that are put in or taken out within the block.

    Nothing may be imported between the tables of a block.
    """
    _stock.looked = False
    try:
        yield
    finally:
        _stock.looked = None


@final
class ImportedNames:
    """Pairs of an original and its stand-in, and the global names that hold either.

    Names of wavetank's own modules are not replaced; neither are defaults, attributes and items.
    """

    def __init__(self, pairs: Sequence[tuple[Any, Any]]) -> None:
        self._pairs = tuple(pairs)
        self._wanted = frozenset(id(thing) for pair in self._pairs for thing in pair)
        self._number = -1
        """That of the stock at the last look."""
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
        """Find the names again in the modules that have changed."""
        _stock.look()
        if self._number == _stock.number:
            return
        changed = _stock.changed_since(self._number)
        if changed is None:
            self._names.clear()
        for key in _stock.modules if changed is None else changed:
            self._names.pop(key, None)
            module = _stock.modules.get(key)
            if module is not None and (names := self._names_in(module)):
                self._names[key] = module, names
        self._number = _stock.number

    def _names_in(self, module: ModuleType) -> tuple[str, ...]:
        """The global names of interest in a module; none in wavetank's own."""
        names = vars(module)
        if self._wanted.isdisjoint(map(id, list(names.values()))):
            return ()
        own_name = names.get("__name__")
        if own_name in _SOURCES or str(own_name).startswith(_PACKAGE):
            return ()
        return tuple(name for name, value in list(names.items()) if id(value) in self._wanted)
