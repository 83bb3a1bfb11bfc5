"""Small texts of messages: how many, how often, which name was meant."""

from __future__ import annotations

from collections.abc import Iterable


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


def did_you_mean(name: str, names: Iterable[str]) -> str:
    """The question whether a similar name was meant; nothing if no name is similar.

    >>> did_you_mean("opnai", ["gemini", "openai"]), did_you_mean("xyz", ["gemini", "openai"])
    ("did you mean 'openai'?", '')
    """
    import difflib  # it is needed for errors only, and takes time to load

    by_lower_case = {each.lower(): each for each in names}
    near = difflib.get_close_matches(name.lower(), by_lower_case, n=1)
    return f"did you mean {by_lower_case[near[0]]!r}?" if near else ""
