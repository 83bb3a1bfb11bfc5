"""In how many processes a test is searched, and why in one if it is one."""

from __future__ import annotations

import enum
import sys
import types
import unittest
from collections.abc import Iterable, Iterator
from typing import Any, Final

import pytest

from ..tank.runs.run_options import cores
from ..tank.search.explore import BACKEND, FIXTURE
from .options import PARAMETER

AUTO: Final = "auto"
_OWN: Final = (FIXTURE, "llm_search", BACKEND, PARAMETER)
_PLAIN: Final = (bool, int, float, complex, str, bytes, enum.Enum, type, types.FunctionType)
_HARMLESS: Final = ("anyio", "faker", "pytest_asyncio", "pytest_socket")
"""Plugins with fixtures that every test has, whether it asks for them or not, and that hold nothing open."""
_SET_UP: Final = "_xunit_"
"""How pytest's names of fixtures begin that stand for `setup_function` and the like."""


def jobs_for(item: pytest.Function, asked: int | str) -> tuple[int, str]:
    """How many processes search a test, and why one does where there could be more."""
    if asked != AUTO:
        return int(asked), ""
    many = cores()
    why = next(_reasons(item), "") if many > 1 else ""
    return (1, why) if why else (many, "")


def _reasons(item: pytest.Function) -> Iterator[str]:
    if hasattr(item.config, "workerinput"):
        yield "the processes of pytest-xdist use the cores"
    if sys.platform == "darwin":
        yield "libraries of macOS may crash in a forked process; --llm-jobs=N uses N nevertheless"
    if sys.gettrace() is not None or _is_measured():
        yield "a tracer, such as that of coverage or a debugger, sees only this process"
    for name in _shared(item):
        yield f"{name} may not be shared by processes; --llm-jobs=N uses N nevertheless"


def _is_measured() -> bool:
    """Whether coverage is on; on newer versions of Python it is no tracer."""
    coverage: Any = getattr(sys.modules.get("coverage"), "Coverage", None)
    return coverage is not None and coverage.current() is not None


def _shared(item: pytest.Function) -> Iterator[str]:
    """The fixtures, and the attributes of the test's object, that are more than plain values."""
    parameters = item.callspec.params if hasattr(item, "callspec") else {}
    names = [name for name in item.fixturenames if name != "request" or name in item._fixtureinfo.argnames]
    asked = item._fixtureinfo.argnames
    # First what the test itself asks for: it does not say whence `tmp_path` comes.
    for name in sorted(names, key=lambda name: name not in asked):
        if name in _OWN or name not in item.funcargs or _plugin_of(item, name) in _HARMLESS:
            continue
        value = item.funcargs[name]
        if (name not in parameters and value is None) or not _is_plain(value):  # it is there for what it does
            yield _named(name)
    for name, value in vars(item.instance).items() if item.instance is not None else ():
        if not _is_plain(value) and name not in _of_unittest(item.instance):
            yield f"self.{name}"


def _of_unittest(instance: object) -> Iterable[str]:
    """The attributes that a test case of unittest has of its own."""
    return vars(unittest.IsolatedAsyncioTestCase()) if isinstance(instance, unittest.TestCase) else ()


def _plugin_of(item: pytest.Function, name: str) -> str:
    """The package that defines a fixture."""
    definitions = item._fixtureinfo.name2fixturedefs.get(name, ())
    return str(definitions[-1].func.__module__).partition(".")[0] if definitions else ""


def _named(name: str) -> str:
    if name.startswith(_SET_UP):
        return name.removeprefix(_SET_UP).partition("_fixture")[0]
    return f"the fixture {name!r}"


def _is_plain(value: object) -> bool:
    if isinstance(value, (list, tuple, set, frozenset)):
        return all(map(_is_plain, value))
    if isinstance(value, dict):
        return all(_is_plain(each) for pair in value.items() for each in pair)
    return value is None or isinstance(value, _PLAIN)
