"""Small texts of messages: how many, how often, which name was meant."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final


def counted(count: int, thing: str, things: str | None = None) -> str:
    """How many things, with their plural where it does not end in s.

    >>> counted(1, "pause"), counted(2, "pause"), counted(2, "try", "tries")
    ('1 pause', '2 pauses', '2 tries')
    """
    return f"{count} {thing}" if count == 1 else f"{count} {things or f'{thing}s'}"


def times(count: int) -> str:
    """How often.

    >>> times(1), times(3)
    ('once', '3 times')
    """
    return "once" if count == 1 else f"{count} times"


def error_text(error: BaseException, text: str | None = None) -> str:
    """An error by its type and its text, or by another `text` in the place of its own.

    >>> error_text(ValueError("no number")), error_text(ValueError()), error_text(ValueError("12"), "…")
    ('ValueError: no number', 'ValueError', 'ValueError: …')
    """
    shown = str(error) if text is None else text
    return f"{type(error).__name__}{': ' if shown else ''}{shown}"


def did_you_mean(name: str, names: Iterable[str], *, start: str = "", end: str = "") -> str:
    """The question whether a similar name was meant, between `start` and `end`; nothing if none is similar.

    >>> did_you_mean("opnai", ["gemini", "openai"]), did_you_mean("xyz", ["gemini", "openai"])
    ("did you mean 'openai'?", '')
    """
    import difflib  # it is needed for errors only, and takes time to load

    by_lower_case = {each.lower(): each for each in names}
    near = difflib.get_close_matches(name.lower(), by_lower_case, n=1)
    return f"{start}did you mean {by_lower_case[near[0]]!r}?{end}" if near else ""


LARGEST_SEED: Final = (1 << 64) - 1
"""Seeds have 64 bits: a schedule token holds one as a number of up to ten bytes."""

SEED_RANGE: Final = "a whole number from 0 to 2**64 - 1"


def parse_seed(text: str) -> int:
    """A seed as it is written on a command line.

    Raises:
        ValueError: it is not `SEED_RANGE`.
    """
    if not text.isdecimal() or int(text) > LARGEST_SEED:
        raise ValueError(f"a seed is {SEED_RANGE}")
    return int(text)


def parse_positive(text: str) -> float:
    """A number above 0 as it is written on a command line.

    Raises:
        ValueError: it is something else, or not finite.
    """
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if not 0 < number < float("inf"):
        raise ValueError(f"{text!r} is no number above 0")
    return number


def duration_text(seconds: float) -> str:
    """A length of time in words.

    >>> duration_text(3.21), duration_text(75), duration_text(7384)
    ('3.2s', '1m15s', '2h03m')
    """
    if seconds < 60:
        return f"{seconds:.1f}s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h{minutes:02}m" if hours else f"{minutes}m{rest:02}s"


def json_document(document: object) -> bytes:
    """A document in UTF-8; a lone surrogate becomes the escape that JSON has for it."""
    import json

    return (json.dumps(document, indent=2, ensure_ascii=False) + "\n").encode("utf-8", "backslashreplace")
