"""Files that cannot be learned from: which file, which line, and what to do."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from wavetank.cli import main
from wavetank.events import Event, EventLog, Header
from wavetank.incidents import IncidentError, learn

from .incident_files import SECRETS, Sent, csv, har, iso, one_wave, span_lines

SPANS = span_lines([Sent(0), Sent(1, 429)]).splitlines()
TIMELESS = json.dumps({key: value for key, value in json.loads(SPANS[1]).items() if "time" not in key})


def event_log() -> bytes:
    """A short event log, whole."""
    log = EventLog(Header(scenario="x", digest="0", seed=0, backend="real"))
    log.append(Event(at=0, kind="arrived", request=1, item="a", model="gpt-4o"))
    log.append(Event(at=5, kind="answered", request=1, item="a", status=200))
    return log.to_ndjson()


BAD: dict[str, tuple[bytes | str, str]] = {
    "empty": ("", r"the file is empty; give an event log"),
    "binary": (b"\x7fELF\0\0\0", r"not a text file"),
    "torn-log": (event_log()[:-20], r"line 3: no event, or a torn one: .*ends in the middle of this line"),
    "other-version": (
        event_log().replace(b'"version":4', b'"version":99'),
        r"line 1: the log has version 99",
    ),
    "no-event": (event_log() + b'{"at": "soon"}\n', r"line 4: no event"),
    "torn-har": (har(one_wave())[:-900], r"line \d+: no JSON from there on .* save it once more"),
    "har-without-time": (
        har([Sent(0)]).replace('"startedDateTime"', '"started"'),
        r"line \d+: this entry has no time: startedDateTime is missing",
    ),
    "har-of-pictures": (har([]), r"no request in there; 1 other entries are no requests to an LLM"),
    "span-without-time": (
        f"{SPANS[0]}\n{TIMELESS}\n",
        r"line 2: this span has no time: none of startTimeUnixNano",
    ),
    "torn-spans": (f"{SPANS[0]}\n{SPANS[1][:80]}", r"line 2: not JSON: .*ends in the middle of this line"),
    "no-object": (f"{SPANS[0]}\n17\n", r"line 2: expected a JSON object"),
    "foreign-json": (
        '{"name": "x", "version": 3}\n',
        r"line 1: there is no time and no status here; found: 'name'",
    ),
    "no-status-column": (
        "when,time,model\n1,2,x\n",
        r"line 1: there is no status here; found: 'when', 'time'",
    ),
    "no-time-column": ("status,model\n200,x\n", r"line 1: there is no time here; found: 'status', 'model'"),
    "row-without-time": ("time,status\n1,200\nlater,429\n", r"line 3: no time: 'later' is no date"),
    "row-without-status": (
        "time,status\n1,200\n2,teapot\n",
        r"line 3: no status: 'teapot' is no HTTP status",
    ),
    "row-with-too-much": (
        "time,status\n1,200\n2,429,7\n",
        r"line 3: 3 values for 2 columns; put a value that contains the delimiter in quotes",
    ),
    "row-with-a-wrong-retry-after": (
        "time,status,retry_after\n1,200,\n2,429,soon\n",
        r"line 3: no Retry-After: 'soon' is no number of seconds and no HTTP date",
    ),
    "both-forms-of-time": (
        f"time,status\n{iso(0)},200\n5,429\n",
        r"some of its times are dates, and others are counted from the start",
    ),
    "prose": ("Dear all,\nwe were refused.\n", r"there is no time and no status here"),
    "not-utf-8": (b"time,status\n1,200\n2,\xff\n", r"line 3: not UTF-8 text"),
    "header-only": ("time,status\n", r"no request in there"),
}


@pytest.mark.parametrize("name", BAD)
def test_the_place_and_the_fix_are_named(name: str, tmp_path: Path) -> None:
    """No traceback, no guess: the file, the line, what is wrong, what to do."""
    content, expected = BAD[name]
    file = tmp_path / "given.log"
    file.write_bytes(content.encode() if isinstance(content, str) else content)
    with pytest.raises(IncidentError, match=expected) as caught:
        learn([file])
    assert "given.log" in str(caught.value)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    """So is a folder."""
    for path in (tmp_path / "nothing.csv", tmp_path):
        with pytest.raises(IncidentError, match="cannot be read"):
            learn([path])


def test_dates_and_times_from_a_start_cannot_be_merged(tmp_path: Path) -> None:
    """Nothing says when the run began."""
    dated, relative = tmp_path / "dated.csv", tmp_path / "journal.ndjson"
    dated.write_text(csv(one_wave()))
    relative.write_bytes(event_log())
    with pytest.raises(IncidentError, match=r"dated.csv has dates and .*journal.ndjson counts time"):
        learn([dated, relative])


def test_an_error_shows_no_key(tmp_path: Path) -> None:
    """A row of data in the place of the header is shown without what it holds."""
    file = tmp_path / "headless.csv"
    file.write_text(f"{iso(0)},api_key={SECRETS[0]},Authorization: Bearer {SECRETS[0]}\n")
    with pytest.raises(IncidentError) as caught:
        learn([file])
    assert SECRETS[0] not in str(caught.value)


def test_nothing_of_the_user_is_written_over(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A file that `learn` wrote may be; another scenario, or the log itself, may not."""
    log, mine, output = tmp_path / "log.csv", tmp_path / "mine.toml", tmp_path / "incident.toml"
    log.write_text(csv(one_wave()))
    mine.write_text('title = "mine"\n')
    assert main(["learn", str(log), "-o", str(mine)]) == 2
    assert mine.read_text() == 'title = "mine"\n'
    assert "name another file" in capsys.readouterr().err
    assert main(["learn", str(log), "-o", str(output)]) == 0
    assert main(["learn", str(log), "-o", str(output)]) == 0
    assert main(["learn", str(log), "-o", str(tmp_path / "incident.txt")]) == 2
    assert "-o incident.toml" in capsys.readouterr().err
