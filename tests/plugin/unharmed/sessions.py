"""Run the tests of `cases.py`, those that end a session each in one of its own; print what they change."""

from __future__ import annotations

import asyncio
import contextlib
import io
import os
from importlib import metadata

import pytest
from snapshot import differences, snapshot  # type: ignore[import-not-found]  # beside it, where it is run

ENDING = ("exits in setup", "interrupted in", "stops in")
"""Ends of a test that end the session, or after which pytest itself sets up no fixture of that name."""

PLAIN = "test_plain"
OPTIONS = ["--assert=plain", "-o", "asyncio_default_fixture_loop_scope=function"]
for name in ("wavetank", "anyio", "asyncio"):
    OPTIONS += ["-p", name]
for name in ("cacheprovider", "faulthandler", "terminal", "unraisableexception"):
    OPTIONS += ["-p", f"no:{name}"]


class Watch:
    """Lets a plain test follow each test that goes on, and hears what it has found."""

    def __init__(self) -> None:
        self.ending: list[str] = []
        self.found: list[str] = []
        self.ran = 0
        self.status: int = -1
        self._last = ""

    def pytest_configure(self, config: pytest.Config) -> None:
        config.option.tbstyle = "native"  # the others parse much source, which takes long

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        plain = iter([item for item in items if PLAIN in item.name])
        first = next(plain, None)
        if first is not None:
            self.ending = [item.nodeid for item in items if any(end in item.name for end in ENDING)]
            others = [item for item in items if PLAIN not in item.name and item.nodeid not in self.ending]
            items[:] = [first, *(one for item in others for one in (item, next(plain)))]

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self.ran += report.when == "teardown"
        if PLAIN not in report.nodeid:
            self._last = report.nodeid
        elif report.failed:
            self.found.append(f"{self._last} changed {report.longreprtext.rpartition('AssertionError: ')[2]}")


PLUGINS = [found for found in metadata.distributions() if found.entry_points.select(group="pytest11")]


def session(*given: str) -> Watch:
    watch = Watch()
    with (
        contextlib.redirect_stdout(io.StringIO()),
        contextlib.redirect_stderr(io.StringIO()),
        contextlib.suppress(BaseException),  # what a fixture raises that is torn down at the very end
    ):
        watch.status = pytest.main([*given, *OPTIONS], plugins=[watch])
    return watch


def main() -> None:
    os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
    # Each session would read twice what all the others need.
    metadata.distributions = lambda: PLUGINS  # type: ignore[assignment]
    asyncio.get_event_loop_policy()
    session("cases.py", "-k", "passes")  # imports what is imported late
    before = snapshot()
    watch = session("cases.py")
    found = watch.found + differences(before, snapshot())
    for place in watch.ending:
        session(place)
    found += differences(before, snapshot())
    print(*found, sep="\n")
    print(watch.ran, "tests and", len(watch.ending), "sessions")


if __name__ == "__main__":
    main()
