"""Replace functions and classes of the standard library wherever a module holds them by name.

`from time import sleep` and `from threading import Lock` bind the original in the importing
module; replacing the attribute of `time` or `threading` alone would miss it.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from types import ModuleType
from typing import Any, Final, final

_PACKAGE: Final = __name__.partition(".")[0] + "."
_SOURCES: Final = ("_thread", "_queue")
"""Where the originals live; the interpreter itself takes them from there."""


@final
class Names:
    """Pairs of an original and its stand-in, and the global names that hold either.

    Names of wavetank's own modules are left alone, and so are defaults, attributes and items.
    """

    def __init__(self, pairs: Sequence[tuple[Any, Any]]) -> None:
        self._pairs = tuple(pairs)
        self._wanted = frozenset(id(thing) for pair in self._pairs for thing in pair)
        self._found: dict[str, tuple[ModuleType, int, tuple[str, ...]]] = {}

    def put_in(self) -> None:
        """Bind the stand-ins."""
        self._swap({id(original): stand_in for original, stand_in in self._pairs})

    def take_out(self) -> None:
        """Bind the originals again, also where a stand-in was imported meanwhile."""
        self._swap({id(stand_in): original for original, stand_in in self._pairs})

    def _swap(self, by_identity: Mapping[int, Any]) -> None:
        for module_name, module in list(sys.modules.items()):
            if isinstance(module, ModuleType) and not module_name.startswith(_PACKAGE):
                for name in self._names(module_name, module):
                    other = by_identity.get(id(vars(module).get(name)))
                    if other is not None:
                        setattr(module, name, other)

    def _names(self, module_name: str, module: ModuleType) -> tuple[str, ...]:
        """The global names of interest in a module; looked up anew when the module has grown."""
        size = len(vars(module))
        known = self._found.get(module_name)
        if known is not None and known[0] is module and known[1] == size:
            return known[2]
        names: tuple[str, ...] = ()
        if module_name not in _SOURCES:
            names = tuple(name for name, value in list(vars(module).items()) if id(value) in self._wanted)
        self._found[module_name] = (module, size, names)
        return names
