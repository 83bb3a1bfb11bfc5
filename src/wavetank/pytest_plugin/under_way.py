"""How far the search of a test is: lines on a terminal, and a line when the session is interrupted."""

from __future__ import annotations

from contextlib import nullcontext
from typing import TYPE_CHECKING, Any, Final, final

import pytest

from ..progress import Pace

if TYPE_CHECKING:
    from ..tank.search.made_schedule import Made


@final
class SearchUnderWay:
    """A search that is not over: how many schedules it made, and which one failed.

    Args:
        item: the test that is searched.
        schedules: how many the search makes at most.
    """

    def __init__(self, item: pytest.Item, schedules: int) -> None:
        self._item = item
        self._schedules = schedules
        self._passed = 0
        self._failed = 0
        """The schedule that failed, from 1; 0 before."""
        self._line = ""
        """The line that repeats it as it was found; empty before it is known."""
        self._pace = Pace()

    def watched(self, made: Made) -> None:
        """Note a schedule that was made."""
        if made.failed:
            self._failed = made.number + 1
        else:
            self._passed = made.number + 1
        self._show()

    def watched_failure(self, schedule: int, line: str) -> None:
        """Note the failure that is repeated and shrunk now."""
        self._failed, self._line = schedule, line
        self._show()

    def interrupted(self) -> str:
        """What is known of a search that the end of the session has interrupted."""
        if not self._failed:
            so_far = f"after {self._passed} of {self._schedules} schedules, without a failure"
        elif not self._line:
            so_far = f"when schedule {self._failed} had failed, before that was repeated"
        else:
            so_far = (
                f"while the failure of schedule {self._failed} was shrunk; to repeat it as it was found: "
                f"{self._line}"
            )
        return f"{self._item.nodeid}: interrupted {so_far}"

    def _show(self) -> None:
        """Write a line now and then, if there is a terminal."""
        plugins = self._item.config.pluginmanager
        terminal = plugins.get_plugin("terminalreporter")
        if terminal is None or not _is_terminal(terminal) or not self._pace.due():
            return
        so_far = f"{self._passed} of {self._schedules} schedules, none failed"
        if self._failed:
            so_far = f"shrinking the failure of schedule {self._failed}"
        captured = plugins.get_plugin("capturemanager")
        with captured.global_and_fixture_disabled() if captured is not None else nullcontext():
            terminal.write_line(f"wavetank: {self._item.name}: {so_far}")


def _is_terminal(reporter: Any) -> bool:
    """Whether pytest writes to a terminal; older versions have an attribute, newer ones a method."""
    return bool(reporter.isatty() if callable(reporter.isatty) else reporter.isatty)


UNDER_WAY: Final[pytest.StashKey[SearchUnderWay]] = pytest.StashKey()
"""Of a session: the last search that was begun, until its test has a report."""


def watched(item: pytest.Item, wanted: dict[str, Any], default: int) -> dict[str, Any]:
    """The options of a search that begins now, with what watches it; without a number, it makes `default`."""
    under_way = item.config.stash[UNDER_WAY] = SearchUnderWay(item, wanted.get("schedules", default))
    own = {name: wanted.get(name, lambda *_: None) for name in ("watch", "watch_failure")}

    def watch(made: Made) -> object:
        under_way.watched(made)
        return own["watch"](made)

    def watch_failure(schedule: int, line: str) -> None:
        under_way.watched_failure(schedule, line)
        own["watch_failure"](schedule, line)

    return {**wanted, "watch": watch, "watch_failure": watch_failure}


def over(config: pytest.Config) -> None:
    """The test that was searched has a report."""
    if UNDER_WAY in config.stash:
        del config.stash[UNDER_WAY]
