"""A scenario as a drawing: a line of time for each wave and fault, and in words what they do."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import chain
from typing import Final, TypeVar

from ..clock import DAY, HOUR, MILLISECOND, MINUTE, SECOND, Duration, format_duration
from ..fault_kinds import DELAYS
from ..text import times
from .meaning import (
    VARIED,
    fault_delay,
    has_window,
    last_instant,
    refusal_error,
    wave_retry_after,
    wave_scope,
    wave_status,
    waves_and_faults,
    window_at,
)
from .model import Fault, Match, RetryAfter, Scenario, Wave, Wrapping
from .writing import written

_Part = TypeVar("_Part", Wave, Fault)

_MARGIN: Final = "  "
# Columns of a label: the longest is "latency", and of three digits "fault 123".
_LABEL: Final = 10
# Columns that the axis has at least, also on a narrower terminal: two ticks.
_LEAST: Final = 20
# Columns from one tick to the next at least: the longest label of an instant, and a space.
_TICK: Final = 12

_ALL, _SOME, _ONE_BY_ONE, _NONE, _STRIKES, _ARMED, _GOES_ON = "#+/.^-x"
_LEGEND: Final = {
    _ALL: "all are refused",
    _SOME: "some are",
    _ONE_BY_ONE: "one by one",
    _STRIKES: "a fault begins",
    _ARMED: "until it is used up",
    _GOES_ON: "a fault goes on",
}
_WRAPPED: Final[dict[Wrapping, str]] = {
    "json": "",
    "html": " as a page of HTML",
    "empty": " without a body",
    "in-200": " inside a 200",
    "text": " as a line of text",
}
_STEPS: Final = tuple(
    count * unit
    for unit, counts in (
        (MILLISECOND, (100, 200, 500)),
        (SECOND, (1, 2, 5, 10, 20, 30)),
        (MINUTE, (1, 2, 5, 10, 20, 30)),
        (HOUR, (1, 2, 6, 12)),
    )
    for count in counts
)
# Occurrences that are shown of a wave without end: enough to see that it repeats.
_SHOWN: Final = 3


def drawn(scenario: Scenario, *, width: int = 80) -> list[str]:
    """The lines of a drawing, none wider than `width` where the texts allow it.

    Waves and faults stand under one axis of time, each with a line that says what it does; what does
    not change with time follows below.
    """
    lines = [f"{scenario.name}: {scenario.title}" if scenario.title else scenario.name]
    lines += [scenario.story] if scenario.story else []
    if scenario.wave or scenario.fault:
        lines += ["", *_timeline(scenario, max(_LEAST, width - len(_MARGIN) - _LABEL))]
    settings = list(_settings(scenario))
    return [*lines, *([""] if settings else []), *settings]


def _timeline(scenario: Scenario, columns: int) -> Iterator[str]:
    span = _span(scenario)
    if scenario.fault or any(wave.when_in_flight is None for wave in scenario.wave):
        yield from _axis(span, columns)
    used = ""
    for number, wave in enumerate(scenario.wave, start=1):
        row = "" if wave.when_in_flight is not None else _row(wave, span, columns, _sign)
        used += row
        yield from _entry(f"wave {number}", row, _wave_words(wave))
    for number, fault in enumerate(scenario.fault, start=1):
        row = _row(fault, span, columns, _goes_on) if has_window(fault) else _fault_row(fault, span, columns)
        used += row
        yield from _entry(f"fault {number}", row, _fault_words(fault))
    legend = [f"{sign} {meaning}" for sign, meaning in _LEGEND.items() if sign in used]
    if legend:
        yield f"{_MARGIN}{'':{_LABEL}}({', '.join(legend)})"


def _span(scenario: Scenario) -> int:
    """How much time is drawn: all that ends, and some occurrences of what does not."""
    parts = waves_and_faults(scenario)
    endless = (
        part.at + _SHOWN * part.every for part in parts if part.every is not None and part.times is None
    )
    end = max([SECOND, last_instant(scenario), *endless])
    return end + end // 10


def _axis(span: int, columns: int) -> Iterator[str]:
    step = _step(span * _TICK // columns)
    labels, ticks = "", ""
    for instant in range(0, span, step):
        place = instant * columns // span
        label = format_duration(Duration(instant))
        if place + len(label) <= columns:
            labels = f"{labels:<{place}}{label}"
            ticks = f"{ticks:<{place}}|"
    for line in (labels, ticks):
        yield f"{_MARGIN}{'':{_LABEL}}{line}"


def _step(least: int) -> int:
    """The first round length of time that is long enough; days are counted by 1, 2, 5, 10, 20, 50, …"""
    days = (count * int(DAY) * int(10**power) for power in range(len(str(least))) for count in (1, 2, 5))
    return next(step for step in chain(_STEPS, days) if step >= least)


def _entry(label: str, row: str, words: str) -> Iterator[str]:
    if row:
        yield f"{_MARGIN}{label:<{_LABEL}}{row}"
    yield f"{_MARGIN}{'' if row else label:<{_LABEL}}{words}"


def _row(part: _Part, span: int, columns: int, sign: Callable[[_Part, int, int], str]) -> str:
    return "".join(
        sign(part, column * span // columns, (column + 1) * span // columns) for column in range(columns)
    )


def _sign(wave: Wave, start: int, end: int) -> str:
    """What of a wave falls between two instants."""
    window = _window_between(wave, start, end)
    if window is None:
        return _NONE
    _, opens, closes = window
    stagger = wave.stagger or 0
    if start < opens + stagger or end > closes - stagger:
        return _ONE_BY_ONE if stagger else _SOME if wave.share < 1 else _ALL
    return _SOME if wave.share < 1 else _ALL


def _goes_on(fault: Fault, start: int, end: int) -> str:
    """What of a fault that lasts falls between two instants."""
    return _NONE if _window_between(fault, start, end) is None else _GOES_ON


def _window_between(part: Wave | Fault, start: int, end: int) -> tuple[int, int, int] | None:
    return window_at(part, start) or window_at(part, end - 1) or _begun_between(part, start, end)


def _begun_between(part: Wave | Fault, start: int, end: int) -> tuple[int, int, int] | None:
    """An occurrence shorter than a column."""
    number = max(0, -(-(start - part.at) // part.every)) if part.every is not None else 0
    opens = part.at + number * (part.every or 0)
    return window_at(part, opens) if start <= opens < end else None


def _fault_row(fault: Fault, span: int, columns: int) -> str:
    place = fault.at * columns // span
    return _NONE * place + _STRIKES + _ARMED * (columns - place - 1)


def _wave_words(wave: Wave) -> str:
    should = "" if wave.should_retry is None else f", x-should-retry {str(wave.should_retry).lower()}"
    return (
        f"{_when(wave)}: {_affected(wave)}{_matching(wave.match)}; "
        f"{_status(wave)}{refusal_error(wave)}{_WRAPPED[wave.wrapping]}{_scope(wave)}, "
        f"{_retry_after_words(wave_retry_after(wave))}{should}"
    )


def _status(wave: Wave) -> str:
    """The status, unless it is left to the dialect and not the same in all."""
    return "" if wave.status is None and wave.error in VARIED else f"{wave_status(wave)} "


def _scope(wave: Wave) -> str:
    scope = wave_scope(wave)
    return "" if scope == "account" else f" for the {scope}"


def _when(wave: Wave) -> str:
    if wave.when_in_flight is not None:
        often = f", {wave.times} times" if wave.times is not None else ""
        return f"when {wave.when_in_flight} are in flight within {wave.patience}{often}"
    return _stretch(wave)


def _stretch(part: Wave | Fault) -> str:
    again = f" every {part.every}" if part.every is not None else ""
    often = f", {part.times} times" if part.times is not None else ""
    return f"from {part.at} for {part.lasts}{again}{often}"


def _affected(wave: Wave) -> str:
    if wave.stagger is not None:
        whom = "all" if wave.share >= 1 else f"{wave.share:.0%} of the"
        return f"{whom} {wave_scope(wave)}s, one by one within {wave.stagger}"
    return "all" if wave.share >= 1 else f"{wave.share:.0%} of the requests"


def _matching(match: Match) -> str:
    parts = [
        f"{name} {pattern}" for name in match.__struct_fields__ if (pattern := getattr(match, name)) != "*"
    ]
    return f" ({', '.join(parts)})" if parts else ""


def _retry_after_words(rule: RetryAfter) -> str:
    if rule.form == "none":
        return "no Retry-After"
    value = str(rule.value) if rule.value is not None else "the rest"
    return f"retry after {value}" + ("" if rule.form == "seconds" else f" ({rule.form})")


def _fault_words(fault: Fault) -> str:
    share = "" if fault.share >= 1 else f", {fault.share:.0%} of the requests"
    error = f" ({fault.error})" if fault.error is not None else ""
    what = f"{fault.kind}{error}"
    if has_window(fault):
        return f"{_stretch(fault)}: {what}{share}{_matching(fault.match)}"
    lasts = f", {Duration(fault_delay(fault))}" if fault.kind in DELAYS else ""
    return f"from {fault.at}: {what}{lasts}, {times(fault.times or 1)}{share}{_matching(fault.match)}"


def _settings(scenario: Scenario) -> Iterator[str]:
    """What holds all the time, as it is written."""
    table = written(scenario)
    for label in ("clock", "latency", "answers", "limits", "limit"):
        values = table.get(label, {})
        for each in values if isinstance(values, list) else [values]:
            if isinstance(each, dict) and each:
                yield f"{_MARGIN}{label:<{_LABEL}}{_listed(each)}"


def _listed(values: dict[str, object]) -> str:
    return ", ".join(
        f"{key} ({_listed(value)})" if isinstance(value, dict) else f"{key} {_plain(value)}"
        for key, value in values.items()
    )


def _plain(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)
