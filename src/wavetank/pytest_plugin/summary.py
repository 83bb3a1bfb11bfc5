"""What the plugin tells at the end of a session, and the event logs it keeps."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from .options import given


def lines(tests: list[tuple[str, dict[str, Any]]], ran: int = 0) -> Iterator[str]:
    """The closing section, from each test's id and numbers; they come from xdist workers, too.

    `ran` is how many tests there were in all, where they meet the fake without asking for it.
    """
    if ran:
        met = sum(facts["requests"] > 0 for _, facts in tests)
        yield f"{met} {'test' if met == 1 else 'tests'} met the fake, {ran - met} did not"
    tests = [(nodeid, facts) for nodeid, facts in tests if facts["asked"] or facts["requests"]]
    if not tests:
        return
    all_facts = [facts for _, facts in tests]
    yield (
        f"{len(tests)} {'test' if len(tests) == 1 else 'tests'}: {_total(all_facts, 'requests')} requests, "
        f"{_total(all_facts, 'refused')} refused, {_total(all_facts, 'unanswered')} unanswered, "
        f"{_total(all_facts, 'wasted')} wasted"
    )
    yield from _items([facts["items"] for facts in all_facts])
    virtual = [facts for facts in all_facts if facts["virtual"]]
    if virtual:
        yield _times(_total(virtual, "time_ns"), max(_total(virtual, "real_ns"), 1))
    for nodeid, facts in tests:
        if facts["not_met"] and facts["asked"]:
            yield f"{nodeid}: in {facts['scenario']}, {facts['not_met']}: the result says nothing about that"
        if facts["report"]:
            yield f"{nodeid}: event log in {facts['report']}"


def _items(outcomes: list[dict[str, Any]]) -> Iterator[str]:
    """What became of the items of all tests; nothing if there were none."""
    if not any(any(each.values()) for each in outcomes):
        return
    from ..checks.outcomes import Outcomes

    errors = Counter[str]()
    for each in outcomes:
        errors.update(each["errors"])
    counts = {name: _total(outcomes, name) for name in ("submitted", "completed", "failed", "cancelled")}
    yield f"items: {Outcomes(**counts, errors=dict(errors.most_common()))}"


def search_lines(searches: list[tuple[str, dict[str, Any]]]) -> Iterator[str]:
    """What the searches of the session came to."""
    if not searches:
        return
    all_facts = [facts for _, facts in searches]
    runs, seconds = _total(all_facts, "schedules"), sum(facts["seconds"] for facts in all_facts)
    made = runs + _total(all_facts, "after")
    schedules = "1 schedule" if runs == 1 else f"{runs} schedules"
    speed = f" ({made / seconds:.0f} runs/s)" if seconds else ""
    yield (
        f"{len(searches)} explored: {schedules}, {_total(all_facts, 'distinct')} distinct, "
        f"in {seconds:.2f} s{speed}"
    )
    for nodeid, facts in searches:
        if facts["proved"]:
            yield f"{nodeid}: {facts['proved']}"
        if facts["unmet"]:
            yield f"{nodeid}: {facts['unmet']} in any schedule: the result says nothing about that"
        if facts["report"]:
            yield f"{nodeid}: event log of the failure in {facts['report']}"


def _total(facts: list[dict[str, Any]], name: str) -> int:
    return sum(each[name] for each in facts)


def _times(virtual: int, real: int) -> str:
    from ..clock import MILLISECOND, format_duration

    written = format_duration(virtual // MILLISECOND * MILLISECOND)
    faster = f" ({virtual / real:.0f} times as fast)" if virtual >= 2 * real else ""
    return f"{written} of virtual time in {real / 1e9:.2f} s of real time{faster}"


def keep_log(item: pytest.Item, log: Callable[[], bytes], *, failed: bool) -> str:
    """Write the event log of a test if the options ask for it; the path, or an empty text.

    The file is named by the test's id, so that workers never write the same one.
    """
    when = given(item.config, "report")
    if when == "off" or (when == "retain-on-failure" and not failed):
        return ""
    folder = Path(given(item.config, "report-dir"))
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{_file_name(item.nodeid)}.ndjson"
    path.write_bytes(log())
    return str(path)


def _file_name(nodeid: str) -> str:
    plain = re.sub(r"[^\w.\-\[\]]+", "_", nodeid)[-120:]
    return f"{plain}-{hashlib.blake2b(nodeid.encode(), digest_size=3).hexdigest()}"
