"""What the plugin says at the end of a session: totals, and a line for each test that needs a look."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, final

import pytest

from ..text import counted
from .annotations import error_lines
from .options import FACTS, SEARCHES

if TYPE_CHECKING:
    from .under_way import SearchUnderWay

_SEEN: Final = 10
"""So many tests have a line on what fails no test: an old suite of thousands may have one in each."""

_SAYS_NOTHING: Final = "the result says nothing about that"


@final
@dataclass(frozen=True, slots=True)
class _Test:
    """A test with its numbers, and how it ended: `passed`, `failed`, `xfailed` or `skipped`."""

    nodeid: str
    facts: dict[str, Any]
    outcome: str


def write_summary(
    terminal: pytest.TerminalReporter,
    reports: Sequence[Any],
    *,
    counted: bool,
    interrupted: SearchUnderWay | None,
) -> None:
    """Write the section, and GitHub's annotations below it; reports also come from pytest-xdist's workers.

    `counted`: the tests meet the fake without asking for it, so it is said how many of all did.
    `interrupted` is the search that the end of the session has interrupted.
    """
    config = terminal.config
    tests, searches = _of(reports, FACTS), _of(reports, SEARCHES)
    called = {each.nodeid for each in reports if getattr(each, "when", "") == "call" and not each.skipped}
    ran = len(called | {test.nodeid for test in tests if test.outcome != "skipped"})
    if tests or searches or (counted and ran) or interrupted is not None:
        terminal.section("wavetank")
    full = config.get_verbosity() > 0
    for line in (
        *_met(tests, searches, ran if counted else 0),
        *lines(tests, full=full),
        *search_lines(searches, full=full),
        *([interrupted.interrupted()] if interrupted is not None else ()),
        *error_lines(reports, config.rootpath),
    ):
        terminal.line(line)


def _of(reports: Sequence[Any], name: str) -> list[_Test]:
    """Each test once: a subtest has a report of its own with the numbers of the whole test."""
    found = {each.nodeid: each for each in reports if hasattr(each, name)}
    return [_Test(nodeid, vars(each)[name], _outcome(each)) for nodeid, each in found.items()]


def _outcome(report: Any) -> str:
    return "xfailed" if report.skipped and hasattr(report, "wasxfail") else str(report.outcome)


def _met(tests: list[_Test], searches: list[_Test], ran: int) -> Iterator[str]:
    """How many tests sent a request; `ran` are all, where they meet the fake without asking for it."""
    if ran:
        met = {test.nodeid for test in tests if test.facts["requests"]}
        met |= {test.nodeid for test in searches if test.facts["met"]}
        yield f"{counted(len(met), 'test')} met the fake, {ran - len(met)} did not"


def lines(tests: list[_Test], *, full: bool) -> Iterator[str]:
    """The totals, and the tests that failed, met nothing, or wanted other hosts; all of them if `full`."""
    tests = [
        test
        for test in tests
        if any(test.facts[name] for name in ("asked", "requests", "unknown_hosts", "unserved"))
    ]
    if not tests:
        return
    all_facts = [test.facts for test in tests]
    yield (
        f"{counted(len(tests), 'test')}: {_total(all_facts, 'requests')} requests, "
        f"{_total(all_facts, 'refused')} refused, {_total(all_facts, 'unanswered')} unanswered, "
        f"{_total(all_facts, 'wasted')} wasted{_unserved(all_facts)}"
    )
    yield from _items([facts["outcomes"] for facts in all_facts])
    virtual = [facts for facts in all_facts if facts["virtual"]]
    if virtual:
        yield _times(_total(virtual, "time_ns"), max(_total(virtual, "real_ns"), 1))
    little = [test.nodeid for test in tests if _says_little(test)]
    unnamed = set[str]() if full else {*little[_SEEN:]}
    for test in tests:
        if test.nodeid not in unnamed:
            yield from _of_one(test, full=full)
    if unnamed:
        many = counted(len(unnamed), "more test")
        yield f"no request of {many} reached the fake, or none met a wave or fault; -v names them"
    yield from _seen([test for test in tests if test.facts["seen"]], full=full)
    kept = sum(bool(test.facts["report"]) and test.outcome == "passed" for test in tests)
    if kept and not full:
        yield f"event logs and timelines of {counted(kept, 'passed test')} were written; -v names them"


def _seen(tests: list[_Test], *, full: bool) -> Iterator[str]:
    """What is no failure and still worth a look: of each test the first, and the names of the others."""
    shown = tests if full else tests[:_SEEN]
    for test in shown:
        lines = [*test.facts["seen"].values()]
        more = "" if full or len(lines) == 1 else f"; and {', '.join([*test.facts['seen']][1:])}"
        yield from (f"{test.nodeid}: {line}{more}" for line in (lines if full else lines[:1]))
    if len(tests) > len(shown):
        yield f"also seen, and not counted, in {counted(len(tests) - len(shown), 'more test')}; -v names them"


def _unserved(all_facts: list[dict[str, Any]]) -> str:
    count = sum(len(facts["unserved"]) for facts in all_facts)
    return f", {count} unserved" if count else ""


def _says_little(test: _Test) -> bool:
    """Whether all there is to say of a test that did not fail is what its requests did not meet."""
    facts = test.facts
    more = test.outcome == "failed" or facts["unserved"] or facts["unknown_hosts"]
    return bool(facts["asked"] and (facts["not_met"] or not facts["requests"])) and not more


def _of_one(test: _Test, *, full: bool) -> Iterator[str]:
    facts = test.facts
    if full or test.outcome == "failed":
        yield f"{test.nodeid}: {_in_short(test)}"
    if facts["not_met"] and facts["asked"]:
        yield f"{test.nodeid}: in {facts['scenario']}, {facts['not_met']}: {_SAYS_NOTHING}"
    elif facts["asked"] and not facts["requests"]:
        before = " before the test failed" if test.outcome == "failed" else ""
        yield f"{test.nodeid}: no request reached the fake{before}"
    if facts["unserved"]:
        paths = ", ".join(dict.fromkeys(facts["unserved"]))
        yield f"{test.nodeid}: wavetank doesn't serve {paths}"
    if facts["unknown_hosts"]:
        hosts = ", ".join(facts["unknown_hosts"])
        yield f"{test.nodeid}: wanted {hosts}, which the fake does not answer for; nothing was sent"
    if facts["report"] and (full or test.outcome != "passed"):
        yield f"{test.nodeid}: event log in {_files(facts['report'])}"


def _in_short(test: _Test) -> str:
    """How a test ended, by which checks, and its numbers."""
    facts = test.facts
    checks = f" by {facts['failed']['title']}" if facts["failed"] else ""
    items = f"; items: {_outcomes(facts['outcomes'])}" if any(facts["outcomes"].values()) else ""
    return (
        f"{test.outcome}{checks} in {facts['scenario']}: {counted(facts['requests'], 'request')}, "
        f"{facts['refused']} refused{items}"
    )


def _items(outcomes: list[dict[str, Any]]) -> Iterator[str]:
    """What became of the items of all tests; nothing if there were none."""
    if not any(any(each.values()) for each in outcomes):
        return
    errors = Counter[str]()
    for each in outcomes:
        errors.update(each["errors"])
    counts = {name: _total(outcomes, name) for name in ("submitted", "completed", "failed", "cancelled")}
    yield f"items: {_outcomes({**counts, 'errors': dict(errors.most_common())})}"


def _outcomes(values: dict[str, Any]) -> str:
    from ..checks.outcomes import Outcomes

    return str(Outcomes(**values))


def search_lines(searches: list[_Test], *, full: bool) -> Iterator[str]:
    """What the searches of the session came to."""
    if not searches:
        return
    all_facts = [test.facts for test in searches]
    runs, seconds = _total(all_facts, "schedules"), sum(facts["seconds"] for facts in all_facts)
    after = _total(all_facts, "after")
    speed = f" ({(runs + after) / seconds:.0f} runs/s)" if seconds else ""
    more = f"and {counted(after, 'run')} to repeat and shrink failures, " if after else ""
    yield (
        f"{len(searches)} explored: {counted(runs, 'schedule')}, {_total(all_facts, 'distinct')} distinct, "
        f"{_interrupted(all_facts, runs)}{more}in {seconds:.2f} s{speed}"
    )
    kept = [test for test in searches if test.facts["kept"]]
    if kept:
        yield (
            f"{counted(len(kept), 'explored test')} kept to the scenario that the test itself names, "
            f"whatever --llm-scenario says{'' if full else '; -v names them'}"
        )
    for test in searches:
        yield from _of_one_search(test, full=full)
    yield from _seen([test for test in searches if test.facts["seen"]], full=full)


def _interrupted(all_facts: list[dict[str, Any]], runs: int) -> str:
    """How many schedules of the searches that interrupt the program did so; nothing without such a search."""
    asked, count = _total(all_facts, "interruptible"), _total(all_facts, "interrupted")
    if not asked:
        return ""
    if asked < runs:
        return f"{count} interrupted of the {asked} that may be, "
    return f"{count} of {asked} interrupted, "


def _of_one_search(test: _Test, *, full: bool) -> Iterator[str]:
    nodeid, facts = test.nodeid, test.facts
    if full or test.outcome == "failed":
        checks = f" by {facts['failed']['title']}" if facts.get("failed") else ""
        names = ", ".join(dict.fromkeys(each["scenario"] for each in facts["searches"]))
        yield (
            f"{nodeid}: {test.outcome}{checks} in {names}: {counted(facts['schedules'], 'schedule')}"
            f"{_processes(facts) if full else ''}"
        )
    if full and facts["kept"]:
        yield f"{nodeid}: kept to {facts['kept']}, which the test itself names"
    if facts["fixed"]:
        fixed = facts["fixed"]
        which = "the failure that was kept passes" if fixed == 1 else f"{fixed} failures that were kept pass"
        yield f"{nodeid}: {which} now; tried before the search, and forgotten"
    if facts["proved"]:
        yield f"{nodeid}: {facts['proved']}"
    if facts["unmet"]:
        yield f"{nodeid}: {facts['unmet']} in any schedule: {_SAYS_NOTHING}"
    if facts["report"]:
        yield f"{nodeid}: event log of the failure in {_files(facts['report'])}"


def _processes(facts: dict[str, Any]) -> str:
    """In how many processes a test was searched; nothing if it was one and need not have been more."""
    if facts["one_process"]:
        return f", in one process: {facts['one_process']}"
    return f", in {facts['processes']} processes" if facts["processes"] > 1 else ""


def _files(log: str) -> str:
    """Where an event log is, and its page, if that is written."""
    from ..report.files import page_of

    page = page_of(log)
    return f"{log}, timeline in {page}" if os.path.isfile(page) else log


def _total(facts: list[dict[str, Any]], name: str) -> int:
    return sum(each[name] for each in facts)


def _times(virtual: int, real: int) -> str:
    from ..clock import MILLISECOND, format_duration

    written = format_duration(virtual // MILLISECOND * MILLISECOND)
    faster = f" ({virtual / real:.0f} times as fast)" if virtual >= 2 * real else ""
    return f"{written} of virtual time in {real / 1e9:.2f} s of real time{faster}"
