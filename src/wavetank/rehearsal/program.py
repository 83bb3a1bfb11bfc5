"""The program to rehearse: a script, a module or a function, run as Python itself would run it."""

from __future__ import annotations

import asyncio
import builtins
import importlib
import inspect
import io
import os
import pkgutil
import sys
from dataclasses import dataclass
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from types import CodeType, ModuleType
from typing import Any, Literal, final

from ..text import did_you_mean

Kind = Literal["script", "module", "function"]


class ProgramError(Exception):
    """The program cannot be found; the text says what to write instead."""


@final
@dataclass(frozen=True, slots=True)
class Program:
    """What to run, by its `name` (a path, `package.module` or `module:function`), with its arguments."""

    kind: Kind
    name: str
    arguments: tuple[str, ...] = ()

    @property
    def words(self) -> tuple[str, ...]:
        """How it is named on the command line."""
        return ("-m", self.name) if self.kind == "module" else (self.name,)


def run_as_main(program: Program) -> None:
    """Run it in this process, with `sys.argv`, `sys.path` and `__main__` as Python sets them.

    Raises:
        ProgramError: there is no such module or function.
        BaseException: the program raised it.
    """
    if program.kind == "function":
        _call(program)
        return
    if program.kind == "module":
        _enter_path(os.getcwd())
        spec, code, argv0 = _main_of_module(program.name)
    else:
        spec, code, argv0 = _main_of_script(program.name)
    sys.argv[:] = [argv0, *program.arguments]
    main = ModuleType("__main__")
    vars(main).update(
        __builtins__=builtins,
        __file__=code.co_filename if spec is None else spec.origin,
        __spec__=spec,
        __loader__=None if spec is None else spec.loader,
        __package__=None if spec is None else spec.parent,
        __cached__=None,
    )
    sys.modules["__main__"] = main
    exec(code, vars(main))


def _enter_path(folder: str) -> None:
    """Python looks for modules here first, unless it was told not to."""
    if not os.environ.get("PYTHONSAFEPATH"):
        sys.path.insert(0, folder)


def _main_of_script(path: str) -> tuple[ModuleSpec | None, CodeType, str]:
    """The code of a file, or of `__main__` in a folder or a zip file."""
    importer = pkgutil.get_importer(path)
    if importer is None:
        _enter_path(os.path.dirname(os.path.realpath(path)))
        file = os.path.abspath(path)
        with io.open_code(file) as source:
            return None, compile(source.read(), file, "exec"), path
    sys.path.insert(0, path)
    spec = importer.find_spec("__main__", None)
    if spec is None:
        raise ProgramError(f"{path} has no module __main__: name a file in it, or use -m")
    return spec, _code_of(spec), path


def _main_of_module(name: str) -> tuple[ModuleSpec | None, CodeType, str]:
    """The code of the module, or of `__main__` in a package."""
    spec = _found(name)
    if spec.submodule_search_locations is not None:
        spec = _found(f"{name}.__main__")
    return spec, _code_of(spec), spec.origin or name


def _found(name: str) -> ModuleSpec:
    try:
        spec = find_spec(name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{name}.".startswith(f"{error.name}."):
            raise
        spec = None
    except ValueError:
        spec = None
    if spec is None:
        raise ProgramError(_no_module(name))
    return spec


def _no_module(name: str) -> str:
    if name.endswith(".py") or os.sep in name:
        return f"there is no module {name!r}: a file is named without -m"
    if name.endswith(".__main__"):
        package = name.removesuffix(".__main__")
        return f"the package {package!r} has no module __main__: name a module in it, or {package}:function"
    return (
        f"there is no module {name!r} in this environment or in the working directory: install it beside "
        "wavetank, or run wavetank in the folder that has it"
    )


def _code_of(spec: ModuleSpec) -> CodeType:
    loader: Any = spec.loader
    code: CodeType | None = loader.get_code(spec.name) if hasattr(loader, "get_code") else None
    if code is None:
        raise ProgramError(f"{spec.name} has no Python code to run")
    return code


def _call(program: Program) -> None:
    """Call the function, in a loop of asyncio if it is a coroutine function; an `int` is the exit status."""
    module_name, _, place = program.name.partition(":")
    _enter_path(os.getcwd())
    sys.argv[:] = [program.name, *program.arguments]
    _found(module_name)
    function: Any = importlib.import_module(module_name)
    for name in place.split("."):
        owner, function = function, getattr(function, name, None)
        if function is None:
            own = (each for each, value in vars(owner).items() if not inspect.ismodule(value))
            meant = did_you_mean(name, [each for each in own if not each.startswith("_")], start="; ")
            raise ProgramError(f"{module_name} has no function {place!r}{meant}")
    if not callable(function):
        raise ProgramError(f"{program.name} is no function: {type(function).__name__} cannot be called")
    result = function()
    if inspect.iscoroutine(result):
        result = asyncio.run(result)
    if isinstance(result, int) and not isinstance(result, bool):
        sys.exit(result)
