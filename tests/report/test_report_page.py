"""The page as a file: what it holds, that it loads nothing, and that nothing in it is markup of the run."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from typing import Any

import pytest

from wavetank.events import Event, EventLog, Header, Notes
from wavetank.report.page import timeline_page
from wavetank.tank.runs.finished_run import Run

NASTY = "</script><script>alert(1)</script><img src=x onerror=alert(2)><!--"


def page_of(*logs: EventLog) -> str:
    return timeline_page(logs).decode()


def data_of(page: str) -> list[dict[str, Any]]:
    """What the page has of its runs."""
    found = re.search(r'<script type="application/json" id="runs">(.*?)</script>', page)
    assert found is not None
    runs: list[dict[str, Any]] = json.loads(found[1])
    return runs


def log_with(*events: Event) -> EventLog:
    log = EventLog(Header(scenario="s", digest="00000000", seed=0, backend="asyncio"))
    for event in events:
        log.append(event)
    return log


def nasty_log() -> EventLog:
    """A log in which every text is hostile."""
    texts: dict[str, Any] = {"item": NASTY, "task": NASTY, "file": NASTY, "line": 1}
    log = log_with(
        Event(at=0, kind="submitted", **texts),
        Event(at=1, kind="arrived", request=1, model=NASTY, key=NASTY, declared=True, **texts),
        Event(at=2, kind="failed", error=NASTY + "\ud800\u2028", error_type=NASTY, **texts),
    )
    return log.with_notes(Notes(title=NASTY, found=(NASTY,), replay=NASTY))


def test_nothing_of_a_run_becomes_markup() -> None:
    """The page has its own two scripts and the data, whatever names, errors and prompts say."""
    page = page_of(nasty_log())
    assert page.count("<script") == page.count("</script>") == 2
    assert "<img" not in page
    assert "<!--" not in page
    (run,) = data_of(page)
    assert run["items"] == [NASTY]
    assert run["title"] == NASTY
    assert "&lt;/script&gt;" in page.partition("<style>")[0]


def test_the_policy_lets_only_the_script_and_the_style_of_the_page_in(lost_wakeup: Run[Any]) -> None:
    """Both are named by their hashes; nothing may be loaded."""
    page = page_of(lost_wakeup.events)
    script, style = (
        re.findall(r"<script>(.*?)</script>", page, re.DOTALL),
        re.findall(r"<style>(.*?)</style>", page, re.DOTALL),
    )
    for part, name in ((script, "script-src"), (style, "style-src")):
        digest = base64.b64encode(hashlib.sha256(part[0].encode()).digest()).decode()
        assert f"{name} 'sha256-{digest}'" in page
    assert "default-src 'none'" in page
    assert not re.search(r"(src|href)=|@import|url\((?!#)", page)


def test_the_same_log_gives_the_same_page(lost_wakeup: Run[Any]) -> None:
    """Also when it was written and read back."""
    log, passing = lost_wakeup.logs("t")
    again = [EventLog.from_ndjson(each.to_ndjson()) for each in (log, passing)]
    assert timeline_page([log, passing]) == timeline_page(again)


def test_three_hundred_requests_fit_into_three_hundred_kilobytes(hammered: Run[Any]) -> None:
    """The scenario refuses many of them, so each has several events and an arrow."""
    assert len(hammered.events.of("arrived")) > 300
    assert len(timeline_page(hammered.logs())) < 300_000


def test_a_page_has_the_requests_with_their_outcomes(second_wave: Run[Any]) -> None:
    """Those that came too early say by how much and after which refusal."""
    (run,) = data_of(page_of(*second_wave.logs("t")))
    requests = {request[0]: request for request in run["requests"]}
    assert len(requests) == 213
    assert [run["items"][requests[14][1]], run["tasks"][requests[14][2]]] == ["item-11", "work_at_gate#4"]
    early_by, early_for = requests[14][12:14]
    assert early_for == 13
    assert early_by == requests[13][10] - requests[14][3]
    assert sum(request[12] > 0 for request in run["requests"]) == 199
    assert [band["name"] for band in run["bands"]] == ["wave 1", "wave 2", "wait asked: account"]


def test_a_page_has_deviations_blocked_tasks_and_the_neighbour(lost_wakeup: Run[Any]) -> None:
    """Each deviation says who ran and who would have run in FIFO order."""
    failed, passing = data_of(page_of(*lost_wakeup.logs("t")))
    kinds = [pin[3] for pin in failed["pins"]]
    assert kinds == [each.kind for each in lost_wakeup.deviations]
    for _, step, task, kind, text, fifo in failed["pins"]:
        if kind == "run":
            assert text == f"{failed['tasks'][task]} before {fifo}"
        assert step > 0
    stuck = {failed["tasks"][task] for each in failed["blocked"] for task in each["tasks"]}
    assert stuck == {"main", "work_at_gate#5"}
    assert failed["how"] == "deadlock"
    assert passing["how"] == "passed"
    assert passing["blocked"] == []
    assert len(passing["pins"]) == len(failed["pins"]) - 1


def test_a_count_of_the_program_is_drawn(lost_wakeup: Run[Any]) -> None:
    """Requests in flight and items done are counted from the events."""
    (run, _) = data_of(page_of(*lost_wakeup.logs("t")))
    counts = {count["name"]: count["points"] for count in run["counts"]}
    assert max(value for _, value in counts["in flight"]) == 6
    assert counts["items done"][-1] == [lost_wakeup.events[-1].at, 11]


@pytest.mark.parametrize("log", [log_with(), log_with(Event(at=5, kind="wave-opened", wave=0))])
def test_a_log_without_requests_has_a_page(log: EventLog) -> None:
    """An empty log, too, and one that has not ended."""
    (run,) = data_of(page_of(log))
    assert run["requests"] == []
    assert run["ended"] is False
    assert run["sentences"][0][0] == "No request reached the provider."
