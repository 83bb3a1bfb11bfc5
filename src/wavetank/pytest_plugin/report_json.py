"""The report for other programs, `--llm-report-json FILE`: one JSON document with every test of ours.

Its shape is written down in `docs/report.schema.json`.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final, final

import pytest

from .. import __version__
from .options import FACTS, SEARCHES

FORMAT: Final = "wavetank-report"
VERSION: Final = 1

_OF_A_RUN: Final = (
    *("scenario", "seed", "schedule", "replay", "seconds"),
    *("requests", "refused", "outcomes", "tokens", "verdicts"),
)


@final
class ReportJson:
    """Collects what the tests report, in the process that the user started, and writes it at the end."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._tests: dict[str, dict[str, Any]] = {}

    def pytest_sessionstart(self) -> None:
        """Say at once if the file cannot be written.

        Raises:
            pytest.UsageError: it cannot.
        """
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._path.open("ab").close()
        except OSError as error:
            raise pytest.UsageError(
                f"--llm-report-json={self._path}: it cannot be written ({error.strerror}); name another file"
            ) from None

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Take in one phase of a test; of a test that is run again the last run counts."""
        if hasattr(report, FACTS) or hasattr(report, SEARCHES):
            self._tests[report.nodeid] = _entry(report)
        elif report.failed and report.nodeid in self._tests and report.when == "teardown":
            self._tests[report.nodeid]["result"] = "error"

    def pytest_sessionfinish(self) -> None:
        """Write the document, with the tests in the order of their ids."""
        tests = [self._tests[name] for name in sorted(self._tests)]
        document = {"format": FORMAT, "version": VERSION, "wavetank": __version__, "tests": tests}
        text = json.dumps(document, indent=2, ensure_ascii=False) + "\n"
        try:
            # A lone surrogate, which UTF-8 cannot hold, becomes the escape that JSON has for it.
            self._path.write_bytes(text.encode("utf-8", "backslashreplace"))
        except OSError as error:
            pytest.exit(f"--llm-report-json={self._path}: cannot be written: {error.strerror}", returncode=1)


def _entry(report: pytest.TestReport) -> dict[str, Any]:
    facts: dict[str, Any] = vars(report).get(FACTS) or {}
    explored: dict[str, Any] = vars(report).get(SEARCHES) or {}
    searches = explored.get("searches", [])
    failures = [each["failure"] for each in searches if each["failure"] is not None]
    run = facts or next(iter((*failures, *searches)), {})
    return {
        "test": report.nodeid,
        "result": _result(report),
        "location": _location(report),
        "failed_at": _as_place(facts.get("place") or explored.get("place")),
        "clock": "virtual" if facts.get("virtual", True) else "real",
        **{name: run.get(name, _NOTHING.get(name)) for name in _OF_A_RUN},
        "unmet": facts.get("not_met") or explored.get("unmet") or None,
        "unknown_hosts": facts.get("unknown_hosts", []),
        "unserved": facts.get("unserved", []),
        "event_log": facts.get("report") or explored.get("report") or None,
        "searches": searches,
    }


_NOTHING: Final[dict[str, Any]] = {"verdicts": []}
"""What an explored test has where no run failed."""


def _result(report: pytest.TestReport) -> str:
    if hasattr(report, "wasxfail"):
        return "xfailed" if report.skipped else "xpassed"
    return "error" if report.failed and report.when != "call" else report.outcome


def _location(report: pytest.TestReport) -> dict[str, Any]:
    file, line, _ = report.location
    return {"file": file.replace("\\", "/"), "line": None if line is None else line + 1}


def _as_place(place: tuple[str, int] | None) -> dict[str, Any] | None:
    return None if place is None else {"file": place[0], "line": place[1]}
