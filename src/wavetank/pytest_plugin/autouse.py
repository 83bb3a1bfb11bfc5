"""Which tests meet the fake without asking for it: the ini option `llm_autouse`, and the marker `llm_off`."""

from __future__ import annotations

import fnmatch
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, final

import pytest
from _pytest.mark import MarkMatcher
from _pytest.mark.expression import Expression
from _pytest.unittest import TestCaseFunction, UnitTestCase

from ..text import did_you_mean
from . import options

KEY: Final = "llm_autouse"
_WORDS_OF_EXPRESSIONS: Final = ("and", "or", "not", "True", "False")

_rule: Final[pytest.StashKey[Rule]] = pytest.StashKey()


@final
@dataclass(frozen=True, slots=True)
class Rule:
    """Tests in one of `paths`, or in any where there is none, whose markers fit the expression."""

    on: bool
    root: Path
    paths: tuple[str, ...] = ()
    expression: Expression | None = None

    def includes(self, item: pytest.Function) -> bool:
        """Whether a test meets the fake without asking for it."""
        if not self.on or item.get_closest_marker("llm_off") is not None:
            return False
        if self.paths and not any(_lies_in(item.path, self.root, path) for path in self.paths):
            return False
        matcher = MarkMatcher.from_markers(item.iter_markers())
        return self.expression is None or self.expression.evaluate(matcher)


def _lies_in(file: Path, root: Path, pattern: str) -> bool:
    try:
        place = file.relative_to(root).as_posix()
    except ValueError:
        return False
    return fnmatch.fnmatchcase(place, pattern) or fnmatch.fnmatchcase(place, f"{pattern}/*")


def rule(config: pytest.Config) -> Rule:
    """The rule of this session.

    Raises:
        pytest.UsageError: the ini option is wrong; the text says how.
    """
    found = config.stash.get(_rule, None)
    if found is None:
        found = config.stash[_rule] = _read(config)
    return found


def _read(config: pytest.Config) -> Rule:
    text = str(config.getini(KEY)).strip()
    root = config.inipath.parent if config.inipath is not None else config.rootpath
    if text.lower() in ("", "true", "false"):
        named = bool(config.getoption("--llm-scenario"))
        chosen = bool(options.scenarios(config)) if text.lower() == "true" else named
        return Rule(chosen and text.lower() != "false", root)
    words = text.split()
    paths = tuple(word.removeprefix("./").rstrip("/") for word in words if _is_path(word, root))
    for path in paths:
        if path.startswith(("/", "..")) or not path or next(root.glob(path), None) is None:
            raise pytest.UsageError(f"{KEY} = {text}: there is no file or folder {path!r} below {root}")
    rest = " ".join(word for word in words if not _is_path(word, root))
    return Rule(bool(options.scenarios(config)), root, paths, _compiled(rest, text, config) if rest else None)


def _is_path(word: str, root: Path) -> bool:
    """Whether a word is a path or glob; a name without a slash is one only if there is such a file."""
    return any(sign in word for sign in "/*?") or (word.isprintable() and (root / word).exists())


def _compiled(expression: str, text: str, config: pytest.Config) -> Expression:
    markers = [line.partition(":")[0].partition("(")[0].strip() for line in config.getini("markers")]
    for word in expression.replace("(", " ").replace(")", " ").split():
        if word not in (*_WORDS_OF_EXPRESSIONS, *markers) and word.isidentifier():
            raise pytest.UsageError(_unknown(word, text, markers))
    try:
        return Expression.compile(expression)
    except SyntaxError as error:
        raise pytest.UsageError(
            f"{KEY} = {text}: {expression!r} is no expression of markers ({error}). Write true, false, or "
            "paths and an expression as -m takes it, such as: tests/llm not integration"
        ) from None


def _unknown(word: str, text: str, markers: list[str]) -> str:
    meant = did_you_mean(word, ["true", "false", *markers], start="; ") or "."
    return (
        f"{KEY} = {text}: {word!r} is neither a marker that the project has registered nor a file or "
        f"folder{meant} Write true, false, or paths and an expression of markers, such as: "
        "tests/llm not integration"
    )


def one_for_each(
    collector: pytest.Collector,
    report: pytest.CollectReport,
    chosen: list[str],
    asks: Callable[[TestCaseFunction], bool],
) -> None:
    """Make a test of unittest once for each of several scenarios; pytest parametrises all others.

    It is one that meets the fake, or `asks` for it by a fixture, and does not name its scenario itself.
    """
    if not isinstance(collector, UnitTestCase) or len(chosen) < 2:
        return
    result: list[pytest.Item | pytest.Collector] = []
    for test in report.result:
        if isinstance(test, TestCaseFunction) and (asks(test) or rule(collector.config).includes(test)):
            marked = test.get_closest_marker("llm_scenario") is not None
            result += [test] if marked else [_under(test, name) for name in chosen]
        else:
            result.append(test)
    report.result = result


def _under(test: TestCaseFunction, scenario: str) -> TestCaseFunction:
    from .per_test import short_name

    make: Callable[[str], object] = test.parent.obj  # type: ignore[union-attr]
    made = TestCaseFunction.from_parent(
        test.parent, name=f"{test.name}[{short_name(scenario)}]", callobj=getattr(make, test.name)
    )
    # pytest finds the method by the name of the test, which now has the scenario in it.
    del made._instance
    made._getobj = lambda: getattr(made.instance, test.name)  # type: ignore[method-assign]
    made._getinstance = lambda: make(test.name)  # type: ignore[method-assign]
    made.stash[options.SCENARIO] = scenario
    return made
