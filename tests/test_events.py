"""The event log: one versioned vocabulary that reads back byte for byte."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

import wavetank
from wavetank.events import (
    EVENT_KINDS,
    Deviated,
    Event,
    EventLog,
    EventLogError,
    Header,
    Judged,
    Notes,
    RunEnd,
    without_addresses,
)
from wavetank.tank.tank import Tank

HEADER = Header(scenario="calm", digest="0123abcd", seed=7, backend="trio", expects={"paid_per_item": 2})
ARRIVED = Event(at=5, kind="arrived", item="a", request=1, declared=True, sent=3, model="m", key="key-1")
REFUSED = Event(
    at=9, kind="refused", item="a", request=1, status=429, scope="account", retry_after=10**9, wave=0
)
COMPLETED = Event(at=12, kind="completed", item="ä ☂", value="[wt:a]", marks=("a",))


def log_of(*events: Event, end: RunEnd | None = None) -> EventLog:
    log = EventLog(HEADER)
    for event in events:
        log.append(event)
    if end is not None:
        log.finish(end)
    return log


def whole() -> EventLog:
    return log_of(
        ARRIVED, REFUSED, COMPLETED, end=RunEnd(how="deadlock", at=12, steps=4, blocked=("  task 'a'",))
    )


def test_a_log_reads_back_with_all_it_held() -> None:
    """Header, events and end come back equal."""
    log = EventLog.from_ndjson(whole().to_ndjson())
    assert log.header == HEADER
    assert list(log) == [ARRIVED, REFUSED, COMPLETED]
    assert log.end == RunEnd(how="deadlock", at=12, steps=4, blocked=("  task 'a'",))


def test_a_log_that_was_read_is_written_with_the_same_bytes() -> None:
    """Writing, reading and writing again gives the same bytes, with and without an end."""
    for log in (whole(), log_of(ARRIVED), log_of()):
        data = log.to_ndjson()
        assert EventLog.from_ndjson(data).to_ndjson() == data


texts = st.text(max_size=8)
numbers = st.integers(0, 2**63 - 1)
events = st.builds(
    Event,
    at=numbers,
    kind=st.sampled_from(EVENT_KINDS),
    item=st.none() | texts,
    request=st.none() | numbers,
    declared=st.booleans(),
    status=st.none() | st.integers(100, 599),
    value=st.none() | texts,
    marks=st.lists(texts, max_size=3).map(tuple),
    error=st.none() | texts,
)


@given(st.lists(events, max_size=8))
def test_any_log_survives_its_file(written: list[Event]) -> None:
    """Whatever texts the events hold, line breaks too, the file has a line for each and reads back equal."""
    data = log_of(*written).to_ndjson()
    assert data.count(b"\n") == 1 + len(written)
    read = EventLog.from_ndjson(data)
    assert list(read) == written
    assert read.to_ndjson() == data


def test_a_lone_surrogate_does_not_stop_the_writing() -> None:
    """Text that UTF-8 cannot hold is written as an escape, and the file reads back."""
    data = log_of(Event(at=0, kind="submitted", item="a\ud800")).to_ndjson()
    assert EventLog.from_ndjson(data)[0].item == "a\\ud800"
    assert EventLog.from_ndjson(data).to_ndjson() == data


def test_the_first_line_names_format_and_version() -> None:
    """A reader can tell what the file is and of which version from its first line."""
    first = whole().to_ndjson().split(b"\n")[0]
    assert b'"format":"wavetank-events"' in first
    assert b'"version":4' in first


def test_a_log_of_the_version_before_can_be_read() -> None:
    """A log of version 1 has nothing of who and where; the rest is as it was."""
    log = EventLog.from_ndjson(whole().to_ndjson().replace(b'"version":4', b'"version":1'))
    assert list(log) == [ARRIVED, REFUSED, COMPLETED]
    assert log[0].task is None
    assert log[0].file is None


def test_notes_stand_behind_the_end_and_are_read_back() -> None:
    """A log with notes has the same events and end; the log they were made from has none."""
    log = whole()
    notes = Notes(
        title="rows",
        replay="again",
        verdicts=(Judged(name="order", passed=False, summary="late", evidence=("row 1",)),),
        deviations=(Deviated(kind="run", at=3, step=2, text="b before a", task="b", fifo="a"),),
    )
    data = log.with_notes(notes).to_ndjson()
    assert data.startswith(log.to_ndjson())
    again = EventLog.from_ndjson(data)
    assert again.notes == notes
    assert list(again) == list(log)
    assert again.to_ndjson() == data
    assert log.notes is None
    assert log.with_notes(notes).to_ndjson(waits=False) == log.to_ndjson(waits=False)


def test_nothing_comes_after_the_notes() -> None:
    """A line behind them, also further notes, is an error that names the line."""
    data = whole().with_notes(Notes()).to_ndjson()
    last = data.rsplit(b"\n", 2)[1]
    with pytest.raises(EventLogError, match="line 7 comes after the end"):
        EventLog.from_ndjson(data + last + b"\n")


def test_defaults_are_not_written() -> None:
    """An event line holds only what is known of it."""
    assert log_of(Event(at=0, kind="submitted", item="a")).to_ndjson().split(b"\n")[1] == (
        b'{"at":0,"kind":"submitted","item":"a"}'
    )


def test_the_kinds_of_events_are_the_contract() -> None:
    """The vocabulary has these kinds and no others."""
    assert " ".join(EVENT_KINDS) == (
        "submitted arrived unknown-host app-failed answer-failed held refused answered delivered left "
        "completed failed cancelled paused resumed stalled interrupted restarted unreported traced violated "
        "replica command wave-opened wave-closed"
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        pytest.param(lambda data: data[:-9], r"line 5 is torn", id="torn-last-line"),
        pytest.param(lambda data: data[: data.index(b"\n") + 9], r"line 2 is torn", id="torn-first-event"),
        pytest.param(lambda _: b"", r"line 1 is not the header", id="empty"),
        pytest.param(lambda _: b'{"a": 1}\n', r"line 1 is not the header", id="other-json"),
        pytest.param(lambda _: b"[1, 2]\n", r"line 1 is not the header", id="no-object"),
        pytest.param(lambda _: b"\x89PNG\r\n\x1a\n", r"line 1 is not the header", id="binary"),
        pytest.param(
            lambda data: data.replace(b'"version":4', b'"version":5'),
            r"version 5.*versions 1 and 2 and 3 and 4",
            id="newer",
        ),
        pytest.param(
            lambda data: data.replace(b'"version":4', b'"v":1'),
            r"version None.*versions 1 and 2",
            id="no-version",
        ),
        pytest.param(
            lambda data: data.replace(b'"seed":7', b'"seed":"x"'),
            r"line 1 is not a whole header",
            id="header",
        ),
        pytest.param(
            lambda data: data.replace(b'"kind":"refused"', b'"kind":"refuted"'),
            r"line 3 is not an event",
            id="unknown-kind",
        ),
        pytest.param(lambda data: data.replace(b'{"at":9', b'{"at":'), r"line 3 is not an event", id="json"),
        pytest.param(
            lambda data: data.replace("☂".encode(), b"\xff"), r"line 4 is not an event", id="not-utf-8"
        ),
        pytest.param(
            lambda data: data.replace(b'"how":"deadlock"', b'"how":"bored"'), r"line 5 is not", id="bad-end"
        ),
        pytest.param(lambda data: data.replace(b"\n", b"\n\n", 1), r"line 2 is not an event", id="blank"),
        pytest.param(
            lambda data: data + b'{"at":99,"kind":"left"}\n', r"line 6 comes after the end", id="after-end"
        ),
    ],
)
def test_a_damaged_log_is_refused_with_its_line(change: object, message: str) -> None:
    """What cannot be read is an EventLogError that names the line, never half a log."""
    assert callable(change)
    with pytest.raises(EventLogError, match=message):
        EventLog.from_ndjson(change(whole().to_ndjson()))


def test_a_closed_log_takes_no_more() -> None:
    """After the end of the run events are dropped, and the first end counts."""
    log = log_of(ARRIVED, end=RunEnd(how="returned", at=5))
    log.append(REFUSED)
    log.finish(RunEnd(how="raised", at=9))
    assert list(log) == [ARRIVED]
    assert log.end is not None
    assert log.end.how == "returned"


def test_listeners_hear_each_event_from_then_on() -> None:
    """A listener gets the events in order, and none from before it came or after the end."""
    log, heard = log_of(ARRIVED), list[Event]()
    log.listen(heard.append)
    log.append(REFUSED)
    log.finish(RunEnd(how="returned", at=9))
    log.append(COMPLETED)
    assert heard == [REFUSED]


def test_a_log_is_a_sequence_of_its_events() -> None:
    """Length, index, slice and selection by kind agree with the order of the events."""
    log = whole()
    assert len(log) == 3
    assert log[0] == ARRIVED
    assert log[-2:] == [REFUSED, COMPLETED]
    assert log.of("completed", "arrived") == [ARRIVED, COMPLETED]


def test_what_is_derived_is_made_once_and_again_after_an_event() -> None:
    """Checks that read the same out of a log share it, and never see what was true before."""
    log = EventLog(HEADER)
    read = [0]

    def count(log: EventLog) -> int:
        read[0] += 1
        return len(log)

    log.append(ARRIVED)
    assert [log.derived(count), log.derived(count), read[0]] == [1, 1, 1]
    assert log.of("refused") == []
    log.append(REFUSED)
    assert [log.derived(count), read[0], log.of("refused")] == [2, 2, [REFUSED]]
    log.of("refused").clear()
    assert log.of("refused") == [REFUSED]


def test_no_address_is_in_any_repr() -> None:
    """What a test can print of a run is the same in every process."""

    async def main(tank: Tank) -> list[str]:
        tank.ledger.submit("a")
        tank.ledger.complete("a", await tank.fake_llm.call("q", item="a"))
        values = [tank, tank.fake_llm, tank.ledger, tank.events, tank.fake_llm.requests]
        return [repr(value) for value in values]

    run = wavetank.simulate(main)
    assert run.value is not None
    for text in [*run.value, repr(run), repr(run.events), *map(repr, run.events), *map(str, run.verdicts)]:
        assert not re.search(r"0x[0-9a-f]{4}", text)
    assert "<Ledger [1 submitted, 1 outcomes]>" in run.value
    assert repr(run.events) == f"<EventLog calm [{len(run.events)} events]>"


def test_addresses_are_blanked() -> None:
    """The usual repr of an object loses its address; the rest of the text and short numbers stay."""
    assert without_addresses("<a.B object at 0x7f00deadbeef>, <C at 0xABCDEF01>") == (
        "<a.B object at 0x…>, <C at 0x…>"
    )
    assert without_addresses("status 0x1F of item-0x7f00") == "status 0x1F of item-0x…"
    assert without_addresses(repr(object())) == "<object object at 0x…>"
