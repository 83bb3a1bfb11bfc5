"""The page as a file: what it holds, that it loads nothing, and that nothing in it is markup of the run."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from contextlib import suppress
from typing import Any

import anyio
import httpx
import pytest

import wavetank
from wavetank import Tank
from wavetank.events import Event, EventLog, Header, Notes
from wavetank.report.page import timeline_page
from wavetank.scenario import scenario_from_dict
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
            assert text.startswith(f"{failed['tasks'][task]} at ")
            assert f" goes on; FIFO would have run {fifo} at " in text
        assert step > 0
    stuck = {failed["tasks"][task] for each in failed["blocked"] for task in each["tasks"]}
    assert stuck == {"main", "work_at_gate#4"}
    assert failed["how"] == "deadlock"
    assert passing["how"] == "passed"
    assert failed["interleaving"][0].startswith("the interleaving")
    assert any("beside it a run that passes" in line for line in failed["interleaving"])
    assert passing["blocked"] == []
    assert len(passing["pins"]) == len(failed["pins"]) - 1


def test_a_count_of_the_program_is_drawn(lost_wakeup: Run[Any]) -> None:
    """Requests in flight and items done are counted from the events."""
    (run, _) = data_of(page_of(*lost_wakeup.logs("t")))
    counts = {count["name"]: count["points"] for count in run["counts"]}
    assert max(value for _, value in counts["in flight"]) == 6
    assert counts["items done"][-1] == [lost_wakeup.events[-1].at, 11]


LIMITED: dict[str, Any] = {
    "limits": {"requests_per_minute": 60, "tokens_per_minute": 60_000, "burst": "10s"},
    "limit": [{"scope": "key", "requests": 5, "per": "10s", "window": "sliding"}],
}


async def four_at_once(tank: Tank) -> None:
    async with anyio.create_task_group() as group:
        for number in range(4):
            group.start_soon(tank.fake_llm.call, f"Do {number}.")
    await anyio.sleep(4)
    await tank.fake_llm.call("Once more.")


def test_what_is_left_of_each_budget_is_drawn() -> None:
    """A count for each table and scope; it falls with each request and fills up in between."""
    run = wavetank.simulate(four_at_once, scenario_from_dict(LIMITED, name="s", source="s"))
    (data,) = data_of(page_of(*run.logs()))
    counts = {count["name"]: count for count in data["counts"]}
    left = counts["requests left"]
    assert left["refills"] is True
    assert left["points"][0] == [0, 6]
    assert left["points"][-1][1] == 9
    key = counts["requests per 10s of key:key-1 left"]
    assert [value for _, value in key["points"]] == [1, 0]
    assert 9_000 < counts["tokens left"]["points"][0][1] < 10_000
    assert counts["in flight"]["refills"] is False
    assert {event.at for event in run.events.of("arrived")} >= {at for at, _ in left["points"]}


def test_ends_of_tasks_are_drawn() -> None:
    """Returned, raised or cancelled, at their instants; also that of main."""

    async def main(tank: Tank) -> None:
        async def work(seconds: float, error: bool) -> None:
            await tank.fake_llm.call("x", item="a")
            await anyio.sleep(seconds)
            if error:
                raise LookupError("no such row")

        with suppress(ExceptionGroup):
            async with anyio.create_task_group() as group:
                group.start_soon(work, 1, False, name="quick")
                group.start_soon(work, 2, True, name="wrong")
                group.start_soon(work, 3, False, name="late")

    for backend in ("asyncio", "trio"):
        run = wavetank.simulate(main, "calm", backend=backend)
        (data,) = data_of(page_of(*run.logs()))
        ends = {data["tasks"][task].partition("#")[0]: (at, how) for task, at, how in data["ends"]}
        assert {name: how for name, (_, how) in ends.items()} == {
            "quick": "returned",
            "wrong": "raised LookupError",
            "late": "cancelled",
            "main": "returned",
        }
        assert ends["quick"][0] < ends["wrong"][0] == ends["late"][0]


def test_a_stream_has_its_first_part_and_a_date_its_header() -> None:
    """Of a request over HTTP: when its stream began, and how the wait was stated."""

    async def main(tank: Tank) -> None:  # noqa: ARG001
        async with httpx.AsyncClient(headers={"authorization": "Bearer sk-1"}) as client:
            body = {"model": "gpt-4o", "stream": True, "messages": [{"role": "user", "content": "x"}]}
            for _ in range(2):
                await client.post("https://api.openai.com/v1/chat/completions", json=body)
                await anyio.sleep(9)

    wave = {"at": "0s", "lasts": "5s", "retry_after": {"form": "http-date", "value": "5s"}}
    scenario = scenario_from_dict(
        {"wave": [wave], "latency": {"first_token": "1s", "tokens_per_second": 10}}, name="s", source="s"
    )
    run = wavetank.simulate(main, scenario)
    (data,) = data_of(page_of(*run.logs()))
    refused, answered = data["requests"]
    assert refused[-1] is None
    assert answered[3] + 1_000_000_000 == answered[-1] < answered[6]
    (refusal,) = run.events.of("refused")
    assert refusal.header is not None
    assert re.fullmatch(r"retry-after: \w{3}, \d\d \w{3} \d{4} [\d:]{8} GMT", refusal.header)
    assert any(refusal.header in event[6] for event in data["events"])
    assert run.events.to_ndjson() == EventLog.from_ndjson(run.events.to_ndjson()).to_ndjson()


@pytest.mark.parametrize("log", [log_with(), log_with(Event(at=5, kind="wave-opened", wave=0))])
def test_a_log_without_requests_has_a_page(log: EventLog) -> None:
    """An empty log, too, and one that has not ended."""
    (run,) = data_of(page_of(log))
    assert run["requests"] == []
    assert run["ended"] is False
    assert run["sentences"][0][0] == "No request reached the provider."
