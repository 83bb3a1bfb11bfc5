"""The trace: the format that Perfetto and speedscope read."""

from __future__ import annotations

import json
from collections import defaultdict
from typing import Any

from wavetank.events import EventLog
from wavetank.report.trace import trace_json
from wavetank.tank.runs.finished_run import Run

Trace = dict[str, Any]


def events_of(*logs: EventLog) -> list[Trace]:
    document = json.loads(trace_json(logs))
    assert document.keys() == {"displayTimeUnit", "traceEvents"}
    assert document["displayTimeUnit"] == "ms"
    events: list[Trace] = document["traceEvents"]
    return events


def of_phase(events: list[Trace], phase: str) -> list[Trace]:
    return [event for event in events if event["ph"] == phase]


def test_every_event_has_what_its_phase_needs(lost_wakeup: Run[Any]) -> None:
    """As the Trace Event Format says: `X` has a duration, `C` numbers, `i` a scope, `s` and `f` an id."""
    events = events_of(*lost_wakeup.logs("t"))
    assert {event["ph"] for event in events} == {"M", "X", "C", "i", "s", "f"}
    for event in events:
        assert isinstance(event["name"], str)
        assert isinstance(event["pid"], int)
        if event["ph"] != "M":
            assert event["ts"] >= 0
        if event["ph"] not in ("M", "C"):
            assert isinstance(event["tid"], int)
    assert all(event["dur"] >= 0 for event in of_phase(events, "X"))
    assert all(event["s"] == "t" for event in of_phase(events, "i"))
    assert all(isinstance(value, int) for event in of_phase(events, "C") for value in event["args"].values())


def test_spans_of_a_thread_lie_side_by_side_or_inside_each_other(hammered: Run[Any]) -> None:
    """Otherwise a viewer draws them wrongly."""
    threads: dict[int, list[tuple[float, float]]] = defaultdict(list)
    for event in of_phase(events_of(hammered.events), "X"):
        threads[event["tid"]].append((event["ts"], event["ts"] + event["dur"]))
    for spans in threads.values():
        open_until: list[float] = []
        for begin, end in sorted(spans, key=lambda span: (span[0], -span[1])):
            while open_until and open_until[-1] <= begin + 1e-6:
                open_until.pop()
            assert not open_until or end <= open_until[-1] + 1e-6
            open_until.append(end)


def test_a_retry_is_a_flow_between_two_requests_of_an_item(second_wave: Run[Any]) -> None:
    """From the span of the refusal to that of the next request of the item, and the ids are in pairs."""
    events = events_of(second_wave.events)
    starts, ends = ({event["id"]: event for event in of_phase(events, phase)} for phase in "sf")
    assert starts.keys() == ends.keys()
    assert len(starts) == 195
    spans = {(event["tid"], event["ts"]): event for event in of_phase(events, "X") if "args" in event}
    for name, start in starts.items():
        items = [spans[each["tid"], each["ts"]]["args"]["item"] for each in (start, ends[name])]
        assert items[0] == items[1]
        assert start["ts"] < ends[name]["ts"]


def test_two_runs_are_two_processes(lost_wakeup: Run[Any]) -> None:
    """Each has its name, and its threads are named by the tasks."""
    events = events_of(*lost_wakeup.logs("bug"))
    names = [event["args"]["name"] for event in of_phase(events, "M") if event["name"] == "process_name"]
    assert names[0] == "bug: deadlock"
    assert names[1].endswith(": passed")
    threads = {event["args"]["name"] for event in of_phase(events, "M") if event["name"] == "thread_name"}
    assert {"work_at_gate#2", "work_at_gate#7", "wave 1", "stall", "wait asked: account"} <= threads


def test_times_are_microseconds(lost_wakeup: Run[Any]) -> None:
    """With the nanoseconds as a fraction."""
    first = lost_wakeup.events.of("arrived")[6]
    spans = of_phase(events_of(lost_wakeup.events), "X")
    (span,) = (each for each in spans if each.get("args", {}).get("request") == first.request)
    assert span["ts"] == first.at / 1000
    assert span["args"]["place"] == f"{first.file}:{first.line}"


def test_the_same_log_gives_the_same_trace(hammered: Run[Any]) -> None:
    """Byte for byte, also when it was read back."""
    log = hammered.logs("t")[0]
    assert trace_json([log]) == trace_json([EventLog.from_ndjson(log.to_ndjson())])
