"""What is noted of a test on its report: plain values, which travel from the processes of pytest-xdist."""

from __future__ import annotations

import hashlib
import re
import shutil
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

from ..extensions import ExtensionError
from .options import FACTS, given, report_files

if TYPE_CHECKING:
    from ..checks.verdict import Verdict
    from ..events import EventLog
    from ..tank.hosted_world import Hosted

_PROPERTY: Final = "llm_"

_WIDE: Final = 100
"""Columns of a terminal from which on a failure is drawn: narrower drawings say little."""
_WIDEST: Final = 140
_LANES: Final = 8
"""So many tasks are drawn beside the text of a failure; `wavetank show --text` draws more."""


def note(item: pytest.Item, report: pytest.TestReport, call: pytest.CallInfo[None], hosted: Hosted) -> None:
    """Give a report the numbers of its test, and the verdicts where something reads them.

    A test that passed and had nothing to do with the fake has no numbers, unless a report asks for them:
    with `--llm-scenario` there may be thousands of such tests, and each waits for this.
    """
    if report.passed and hosted.untouched and not _is_reported(item.config):
        return
    from ..events import without_surrogates
    from ..tank.runs.plain_values import failed_checks, verdict_values

    error = call.excinfo.value if call.excinfo is not None and not report.passed else None
    failed = () if error is None else failed_checks(error)
    xfailed = hasattr(report, "wasxfail")
    facts = hosted.facts()
    values = {
        **facts,
        "report": keep_log(
            item, report, lambda: [hosted.noted(title_of(item), error)], failed=report.failed or xfailed
        ),
        "verdicts": verdict_values(hosted.judged(error).values())
        if given(item.config, "report-json")
        else [],
        "failed": failure_of(failed, facts["replay"]),
        "place": None if error is None else hosted.place_of(error),
    }
    draw(item, report, hosted.tank.events)
    vars(report)[FACTS] = without_surrogates(values)  # which pytest-xdist cannot carry


def title_of(item: pytest.Item) -> str:
    """The test's id, with its file also where pytest leaves that out: outside of its root directory."""
    return f"{item.path.name}{item.nodeid}" if item.nodeid.startswith("::") else item.nodeid


def _is_reported(config: pytest.Config) -> bool:
    return bool(given(config, "report-json")) or given(config, "report") != "off"


def failure_of(failed: Iterable[Verdict], replay: str, *, kind: str = "") -> dict[str, str] | None:
    """The failed checks of a test, or the `kind` of its failure, in a title and in lines."""
    verdicts = [*failed]
    title = ", ".join(verdict.name for verdict in verdicts) or kind
    if not title:
        return None
    lines = [*(verdict.headline for verdict in verdicts)] or [kind]
    return {"title": title, "text": "\n".join((*lines, f"to repeat it: {replay}"))}


def set_properties(item: pytest.Item, *, scenario: str, seed: int, token: str | None) -> None:
    """Let reports such as JUnit's say what a test ran under, and what repeats it; once for each test."""
    given = {"scenario": scenario, "seed": seed, "token": token}
    ours = {f"{_PROPERTY}{name}": value for name, value in given.items() if value is not None}
    others = [each for each in item.user_properties if each[0] not in ours]
    item.user_properties[:] = [*others, *ours.items()]


def draw(item: pytest.Item, report: pytest.TestReport, log: EventLog) -> None:
    """Add a drawing of the run to the report of a failed test, where the terminal is wide enough."""
    width = _columns(item.config)
    if report.failed and width >= _WIDE and log.of("arrived"):
        from ..report.text import drawn

        lines = drawn(log, width=min(width, _WIDEST), most=_LANES)
        report.sections.append(("wavetank timeline", "\n".join(lines)))


def _columns(config: pytest.Config) -> int:
    """How wide the terminal is; in a worker of pytest-xdist as far as the environment says."""
    terminal = config.pluginmanager.get_plugin("terminalreporter")
    return shutil.get_terminal_size().columns if terminal is None else terminal._tw.fullwidth


def keep_log(
    item: pytest.Item, report: pytest.TestReport, logs: Callable[[], Sequence[EventLog]], *, failed: bool
) -> str:
    """Write the event log of a test if the options ask for it; its path, or an empty text.

    Its page, its trace and what packages add are written beside it. A second log is that of the nearest run
    that passes. The files are named by the test's id, so that workers never write the same one. A test
    whose files cannot be written fails.
    """
    when = given(item.config, "report")
    if when == "off" or (when == "retain-on-failure" and not failed):
        return ""
    from ..report.files import write_files

    folder = Path(given(item.config, "report-dir"))
    path = folder / f"{_file_name(item.nodeid)}.ndjson"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_files(path, logs(), report_files(item.config))
    except ExtensionError as error:
        _fail(report, str(error))
    except OSError as error:
        _fail(report, f"the report cannot be written to {folder} ({error.strerror}): choose --llm-report-dir")
        return ""
    return str(path)


def _fail(report: pytest.TestReport, why: str) -> None:
    """Fail a test that has passed; beside another failure it is a section of its own."""
    if report.passed:
        report.outcome, report.longrepr = "failed", why
    else:
        report.sections.append(("wavetank report", why))


def _file_name(nodeid: str) -> str:
    plain = re.sub(r"[^\w.\-\[\]]+", "_", nodeid)[-120:]
    return f"{plain}-{hashlib.blake2b(nodeid.encode(), digest_size=3).hexdigest()}"
