"""How a campaign is shown while it runs."""

from __future__ import annotations

import io

import pytest

from wavetank.campaign import display
from wavetank.campaign.display import Bar, Figures, Lines, OneLine, display_on

HALF = Figures(0.5, "5 of 10 schedules")


class Terminal(io.StringIO):
    """A stream that is one."""

    def isatty(self) -> bool:
        return True


def test_a_file_gets_plain_lines() -> None:
    """What is no terminal gets what is said, and figures only every now and then."""
    stream = io.StringIO()
    shown = display_on(stream)
    assert isinstance(shown, Lines)
    shown.show(HALF)
    shown.say("found")
    shown.close()
    assert stream.getvalue() == "found\n"


def test_a_file_gets_figures_after_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    """After ten seconds the figures stand in a line of their own."""
    stream = io.StringIO()
    shown = Lines(stream)
    monkeypatch.setattr(display, "real_now", lambda: 1 << 62)
    shown.show(HALF)
    shown.show(HALF)
    assert stream.getvalue() == " 50%  5 of 10 schedules\n"


def test_a_terminal_without_rich_gets_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without rich the figures are one line that is written over and gone at the end."""
    monkeypatch.setattr(display, "find_spec", lambda _: None)
    stream = Terminal()
    shown = display_on(stream)
    assert isinstance(shown, OneLine)
    shown.show(HALF)
    shown.say("found")
    shown.close()
    clear = "\r\x1b[2K"
    assert stream.getvalue() == (
        f"{clear}[##########..........]  50%  5 of 10 schedules{clear}found\n{clear}"
    )


def test_a_terminal_with_rich_gets_a_bar(capsys: pytest.CaptureFixture[str]) -> None:
    """With rich there is a bar, and what is said stands above it as it is."""
    shown = display_on(Terminal())
    assert isinstance(shown, Bar)
    shown.show(HALF)
    shown.say("test_x[asyncio]: found")
    shown.close()
    assert "test_x[asyncio]: found" in capsys.readouterr().out
