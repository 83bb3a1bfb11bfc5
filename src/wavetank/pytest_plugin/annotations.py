"""Annotations for GitHub: a line for each failure of ours, which GitHub shows at the user's own line.

https://docs.github.com/actions/reference/workflow-commands-for-github-actions#setting-an-error-message
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from .options import FACTS, SEARCHES

VARIABLE: Final = "GITHUB_ACTIONS"
_WORKSPACE: Final = "GITHUB_WORKSPACE"
_IN_A_TEXT: Final = {"%": "%25", "\r": "%0D", "\n": "%0A"}
_IN_A_PROPERTY: Final = {**_IN_A_TEXT, ":": "%3A", ",": "%2C"}
"""As GitHub's own toolkit escapes: packages/core/src/command.ts."""


def on_github() -> bool:
    """Whether GitHub reads what is printed."""
    return os.environ.get(VARIABLE, "").lower() not in ("", "0", "false")


def error_lines(reports: Iterable[Any], root: Path) -> Iterator[str]:
    """A line for each test that failed by a verdict or in a search; nothing where GitHub does not run."""
    if not on_github():
        return
    # Once for each test, also where it has reports of subtests or was run again.
    lines = {report.nodeid: line for report in reports if (line := error_line(report, root))}
    for nodeid in sorted(lines):
        yield lines[nodeid]


def error_line(report: Any, root: Path) -> str:
    """The line for one test; empty unless it failed by a verdict or in a search."""
    return _line(report, root) if _why(report) else ""


def _why(report: Any) -> dict[str, Any]:
    """The facts of a test that failed by a check of ours or in a search."""
    if not isinstance(report, pytest.TestReport) or not report.failed:
        return {}
    facts: dict[str, Any] = vars(report).get(FACTS) or vars(report).get(SEARCHES) or {}
    return facts if facts.get("failed") else {}


def _line(report: pytest.TestReport, root: Path) -> str:
    facts = _why(report)
    file, line = _own_line(report)
    if facts["place"] is not None and (root / facts["place"][0]).is_file():
        file, line = facts["place"]
    title = f"{report.nodeid}: {facts['failed']['title']}"
    properties = {"file": _for_github(root / file), "line": str(line), "title": title}
    named = ",".join(f"{name}={_escaped(value, _IN_A_PROPERTY)}" for name, value in properties.items())
    return f"::error {named}::{_escaped(facts['failed']['text'], _IN_A_TEXT)}"


def _own_line(report: pytest.TestReport) -> tuple[str, int]:
    file, line, _ = report.location
    return file, (line or 0) + 1


def _for_github(file: Path) -> str:
    """A file relative to the checked-out repository, which may be a folder above pytest's root."""
    workspace = os.environ.get(_WORKSPACE)
    path = Path(os.path.abspath(file))
    for folder in (workspace, os.getcwd()):
        if folder and path.is_relative_to(folder):
            return path.relative_to(folder).as_posix()
    return path.as_posix()


def _escaped(text: str, signs: dict[str, str]) -> str:
    return "".join(signs.get(sign, sign) for sign in text)
