"""A sentence on a run, and the parts of sentences that several of them have."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, final

from ..clock import format_duration
from ..text import counted
from .requests import Request


@final
@dataclass(frozen=True, slots=True)
class Sentence:
    """A sentence, and the instant and the request that it is about, if it is about one.

    What is `beside` the story is worth a look, and not known to have to do with what went wrong.
    """

    text: str
    at: int | None = None
    request: int | None = None
    beside: bool = False


_DIGITS: Final = 4
"""Of a time in a sentence: more are read as one by one."""

_LONG: Final = re.compile(r"(?<![\w.])((?:\d+h)?(?:\d+m)?)(\d+)\.(\d{2,})(ms|us|s)\b")


def rounded(text: str) -> str:
    """A text whose times have at most four digits, or none behind the point.

    >>> rounded("At 89.163412ms, after 1m2.000000001s and 1.5s")
    'At 89.16ms, after 1m2s and 1.5s'
    """
    return _LONG.sub(_shorter, text)


def _shorter(found: re.Match[str]) -> str:
    minutes, whole, part, unit = found.groups()
    number = round(float(f"{whole}.{part}"), max(0, _DIGITS - len(whole)))
    return f"{minutes}{number:g}{unit}"


def for_item(item: str | None) -> str:
    return "" if item is None else f" for {item!r}"


def by_task(request: Request) -> str:
    return "" if request.task is None else f" by {request.task!r}"


def were(count: int, thing: str) -> str:
    return f"{counted(count, thing)} {'was' if count == 1 else 'were'}"


def never_read(found: Sequence[Request]) -> str:
    """`the replies to 2 requests were neither read to their end nor closed: the first is …`."""
    one = found[0]
    where = "" if one.place is None else f" at {one.place}"
    which = (
        f"request {one.number}{for_item(one.item)}{by_task(one)}{where}, "
        f"sent at {format_duration(one.replied or 0)}"
    )
    if len(found) == 1:
        return f"the reply to {which}, was neither read to its end nor closed"
    return f"{len(found)} replies were neither read to their end nor closed: the first is that to {which}"
