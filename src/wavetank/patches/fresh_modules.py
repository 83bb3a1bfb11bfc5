"""Modules that a simulated process imports for itself, as a process of its own would.

What such a module keeps in globals is the process's alone. All other modules are shared.
"""

from __future__ import annotations

import builtins
import importlib
import importlib.util
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import ModuleType
from typing import Any, Final, final

from ..sim.processes import current_process
from .attributes import replaced

_PACKAGE: Final = __name__.partition(".")[0]


@final
class FreshModules:
    """The modules of one process, by name: those that were named, and their submodules."""

    def __init__(self, names: Iterable[str]) -> None:
        self._names = tuple(names)
        self._below = tuple(f"{name}." for name in self._names)
        self._modules: dict[str, ModuleType] = {}
        self._is_in_place = False

    def import_all(self) -> None:
        """Import them, in the context of the process.

        Raises:
            ImportError: one cannot be imported.
        """
        with self.in_place():
            for name in self._names:
                importlib.import_module(name)

    def get(self, name: str) -> ModuleType | None:
        """The process's own module of this name, if it has one."""
        return self._modules.get(name)

    def covers(self, name: str) -> bool:
        """Whether a module is one that the process imports for itself."""
        return name in self._names or name.startswith(self._below)

    def leads_to(self, name: str) -> bool:
        """Whether a package that is shared has modules in it that the process imports for itself."""
        return any(own.startswith(f"{name}.") for own in self._names) and not self.covers(name)

    def concerns(self, name: str) -> bool:
        """Whether an import of this module may find one of the process."""
        return self.covers(name) or self.leads_to(name)

    def seen(self, module: ModuleType) -> ModuleType:
        """A module as code of the process sees it."""
        return _View(module, self) if self.leads_to(module.__name__) else module

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """Imports inside find the modules of the process, and add to them."""
        if self._is_in_place or not self._names:
            yield
            return
        shared = self._taken_out()
        self._is_in_place = True
        _put_in(self._modules)
        try:
            yield
        finally:
            self._is_in_place = False
            self._modules = self._taken_out()
            _put_in(shared)

    def _taken_out(self) -> dict[str, ModuleType]:
        """Take the modules out of the interpreter's table, and off the packages that they are in."""
        # Each start of a process looks at thousands of names: most are left out without a call of ours.
        found = {
            name: module
            for name, module in sys.modules.items()
            if name.startswith(self._names) and self.covers(name)
        }
        for name in found:
            del sys.modules[name]
            parent, _, last = name.rpartition(".")
            if parent in sys.modules:
                vars(sys.modules[parent]).pop(last, None)
        return found

    def __repr__(self) -> str:
        return f"<FreshModules {', '.join(self._names)}>"


def _put_in(modules: Mapping[str, ModuleType]) -> None:
    for name, module in modules.items():
        sys.modules[name] = module
        parent, _, last = name.rpartition(".")
        if parent in sys.modules:
            setattr(sys.modules[parent], last, module)


@final
class _View(ModuleType):
    """A shared package in which a process finds modules of its own."""

    def __init__(self, module: ModuleType, modules: FreshModules) -> None:
        super().__init__(module.__name__)
        vars(self).update(__wrapped__=module, _wavetank_modules=modules)
        for name in ("__path__", "__file__", "__spec__", "__package__", "__loader__"):
            if name in vars(module):
                vars(self)[name] = vars(module)[name]

    def __getattr__(self, name: str) -> Any:
        modules: FreshModules = vars(self)["_wavetank_modules"]
        full = f"{self.__name__}.{name}"
        own = modules.get(full) or (sys.modules.get(full) if modules.covers(full) else None)
        found = getattr(vars(self)["__wrapped__"], name) if own is None else own
        return modules.seen(found) if isinstance(found, ModuleType) else found


@contextmanager
def imports_by_process() -> Iterator[None]:
    """Let code of a process that imports find the modules of that process."""
    with (
        replaced(builtins, "__import__", _importing(builtins.__import__)),
        replaced(importlib, "import_module", _import_module(importlib.import_module)),
    ):
        yield


def _importing(original: Callable[..., ModuleType]) -> Callable[..., ModuleType]:
    def import_here(
        name: str,
        globals: Mapping[str, Any] | None = None,
        locals: Mapping[str, Any] | None = None,
        fromlist: Sequence[str] | None = (),
        level: int = 0,
    ) -> ModuleType:
        process = current_process.get()
        modules = None if process is None else process.modules
        if modules is None:
            return original(name, globals, locals, fromlist, level)
        package = (globals or {}).get("__package__") or ""
        full = importlib.util.resolve_name("." * level + name, package) if level else name
        if not modules.concerns(full) and not modules.concerns(full.partition(".")[0]):
            return original(name, globals, locals, fromlist, level)
        with modules.in_place():
            found = original(name, globals, locals, fromlist, level)
        return found if fromlist and "*" in fromlist else modules.seen(found)

    return import_here


def _import_module(original: Callable[..., ModuleType]) -> Callable[..., ModuleType]:
    def import_module(name: str, package: str | None = None) -> ModuleType:
        process = current_process.get()
        modules = None if process is None else process.modules
        if modules is None:
            return original(name, package)
        with modules.in_place():
            return modules.seen(original(name, package))

    return import_module


def checked_names(modules: Iterable[str | ModuleType]) -> tuple[str, ...]:
    """The names of modules that a process may import for itself.

    Raises:
        TypeError: one is neither a name nor a module.
        ValueError: it is the main module, or a part of Python or of wavetank.
        ModuleNotFoundError: there is none of that name.
    """
    if isinstance(modules, str | ModuleType):
        name = getattr(modules, "__name__", modules)
        raise TypeError(f"modules={name!r}: give a list, modules=[{name!r}]")
    return tuple(map(_checked_name, modules))


def _checked_name(module: str | ModuleType) -> str:
    name = module.__name__ if isinstance(module, ModuleType) else module
    if not isinstance(name, str):
        raise TypeError(f"modules=[{name!r}]: give the names of modules, such as 'app.limiter'")
    if name == "__main__":
        raise ValueError(
            "modules=['__main__']: a main module is not imported; move the code into another one"
        )
    if name.partition(".")[0] in {*sys.stdlib_module_names, _PACKAGE}:
        raise ValueError(f"modules=[{name!r}]: replicas share what is Python's and wavetank's; name your own")
    try:
        found = importlib.util.find_spec(name) is not None
    except ModuleNotFoundError:
        found = False
    if not found:
        raise ModuleNotFoundError(f"modules=[{name!r}]: there is no module of this name", name=name)
    return name
