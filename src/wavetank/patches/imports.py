"""Do something to a library the moment it is imported."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any, final


@contextmanager
def on_import(names: Sequence[str], act: Callable[[ModuleType], object]) -> Iterator[None]:
    """Call `act` with each of the modules: now if it is imported, else right after its import."""
    for name in names:
        if _is_whole(name):
            act(sys.modules[name])
    finder = _Finder([name for name in names if name not in sys.modules], act)
    sys.meta_path.insert(0, finder)
    try:
        yield
    finally:
        sys.meta_path.remove(finder)


def _is_whole(name: str) -> bool:
    """Whether a module is imported to its end; another thread may be in the middle of it."""
    module = sys.modules.get(name)
    return module is not None and not getattr(module.__spec__, "_initializing", False)


@final
class _Finder(MetaPathFinder):
    def __init__(self, names: list[str], act: Callable[[ModuleType], object]) -> None:
        self._names = names
        self._looking: str | None = None
        self._act = act

    def find_spec(self, fullname: str, path: object, target: object = None) -> ModuleSpec | None:
        if fullname not in self._names or fullname == self._looking:
            return None
        self._looking = fullname
        try:
            spec = importlib.util.find_spec(fullname)
        finally:
            self._looking = None
        if spec is not None and spec.loader is not None:
            spec.loader = _Acting(spec.loader, self._imported)
        return spec

    def _imported(self, module: ModuleType) -> None:
        """Act once: an import that fails is tried again by some, a whole module is not imported again."""
        self._names.remove(module.__name__)
        self._act(module)


@final
class _Acting(Loader):
    """Another loader that acts on the module once it is whole."""

    def __init__(self, loader: Any, act: Callable[[ModuleType], object]) -> None:
        self._loader = loader
        self._act = act

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        module: ModuleType | None = self._loader.create_module(spec)
        return module

    def exec_module(self, module: ModuleType) -> None:
        spec = module.__spec__
        assert spec is not None
        spec.loader = module.__loader__ = self._loader
        self._loader.exec_module(module)
        self._act(module)
