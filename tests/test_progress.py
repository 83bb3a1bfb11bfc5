"""How the progress of a long command is shown."""

from __future__ import annotations

import io

import pytest

from wavetank import progress
from wavetank.progress import Bar, OneLine, PlainLines, display_on

HALF = (0.5, "5 of 10 schedules")


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


def test_a_file_gets_plain_lines() -> None:
    """A stream that is no terminal gets the lines that stay, and progress only every ten seconds."""
    stream = io.StringIO()
    shown = display_on(stream)
    assert isinstance(shown, PlainLines)
    shown.show(*HALF)
    shown.say("found")
    shown.close()
    assert stream.getvalue() == "found\n"


def test_a_file_gets_progress_after_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    """After ten seconds the progress is written as a line."""
    stream = io.StringIO()
    shown = PlainLines(stream)
    monkeypatch.setattr(progress, "real_now", lambda: 1 << 62)
    shown.show(*HALF)
    shown.show(*HALF)
    assert stream.getvalue() == " 50%  5 of 10 schedules\n"


def test_a_terminal_without_rich_gets_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without rich the progress is one line that is overwritten, and removed at the end."""
    monkeypatch.setattr(progress, "find_spec", lambda _: None)
    stream = Terminal()
    shown = display_on(stream)
    assert isinstance(shown, OneLine)
    shown.show(*HALF)
    shown.say("found")
    shown.close()
    clear = "\r\x1b[2K"
    assert stream.getvalue() == (
        f"{clear}[##########..........]  50%  5 of 10 schedules{clear}found\n{clear}"
    )


def test_a_terminal_with_rich_gets_a_bar(capsys: pytest.CaptureFixture[str]) -> None:
    """With rich there is a bar, and lines that stay are written above it unchanged."""
    shown = display_on(Terminal())
    assert isinstance(shown, Bar)
    shown.show(*HALF)
    shown.say("test_x[asyncio]: found")
    shown.close()
    assert "test_x[asyncio]: found" in capsys.readouterr().out


@pytest.mark.parametrize("kind", [PlainLines, OneLine])
def test_what_a_stream_cannot_encode_is_written_as_an_escape(kind: type[PlainLines] | type[OneLine]) -> None:
    """An item named in any script ends no run on a terminal that has ASCII only."""
    data = io.BytesIO()
    stream = io.TextIOWrapper(data, encoding="ascii")
    kind(stream).say("zeile-ü")
    stream.flush()
    assert rb"zeile-\xfc" in data.getvalue()
