"""What a scenario may not say: values out of range, and keys that contradict each other."""

from __future__ import annotations

import math
import re
from typing import Final

import msgspec

from ..clock import DAY, MILLISECOND, Duration
from ..fault_kinds import CONNECTING, DELAYS, KINDS
from ..text import did_you_mean
from .errors import Place
from .meaning import REFUSAL_STATUSES, has_window, wave_scope
from .model import (
    Answers,
    Batch,
    Fault,
    Latency,
    Limits,
    LineFault,
    Match,
    ProviderClock,
    Ramp,
    RetryAfter,
    Wave,
)

SHORTEST_CYCLE: Final = MILLISECOND
"""Each occurrence of a wave is two events of the log, also while nothing else happens: 120,000 a minute."""

SLOWEST: Final = 0.001
"""Tokens per second; an answer of a hundred tokens takes more than a day then."""

_WINDOW_KEYS: Final = ("at", "lasts", "every")
_LIMIT_KEYS: Final = (
    "requests_per_minute",
    "input_tokens_per_minute",
    "output_tokens_per_minute",
    "tokens_per_minute",
    "requests",
    "input_tokens",
    "output_tokens",
    "tokens",
    "per",
    "burst",
    "requests_per_day",
    "tokens_per_day",
    "concurrent",
    "penalty",
)
_PER_KEYS: Final = ("requests", "input_tokens", "output_tokens", "tokens")
_MINUTE_KEYS: Final = tuple(f"{key}_per_minute" for key in _PER_KEYS)
_DAILY_KEYS: Final = ("requests_per_day", "tokens_per_day")
_RAMP_KEYS: Final = ("requests", "tokens", "window")
_MARK: Final = "[wt:"
_IN_BRACES: Final = re.compile(r"\{(\w+)\}")
PLACEHOLDERS: Final = ("item", "prompt")
"""What a text of answers may have in braces."""
_MUTE: Final = ("html", "empty")


def check(struct: msgspec.Struct, given: frozenset[str], place: Place) -> None:
    """Check the rules of one Struct; `given` names the keys that were written.

    Raises:
        ScenarioError: a rule does not hold; the text names the key and the fix.
    """
    match struct:
        case Wave():
            _check_wave(struct, given, place)
        case Fault():
            _check_fault(struct, place)
        case Limits():
            _check_limits(struct, given, place)
        case Ramp():
            _check_ramp(struct, place)
        case Match():
            _check_match(struct, place)
        case ProviderClock():
            _check_clock(struct, place)
        case Answers():
            _check_answers(struct, place)
        case Latency():
            _check_latency(struct, place)
        case RetryAfter():
            _check_retry_after(struct, place)
        case LineFault():
            _check_line_fault(struct, given, place)
        case Batch():
            _check_positive(struct, ("expires", "enqueued_tokens"), place, "leave it out for the default")


def _check_wave(wave: Wave, given: frozenset[str], place: Place) -> None:
    if wave.when_in_flight is not None:
        _check_barrier(wave.when_in_flight, given, place)
    else:
        _check_window(wave, given, place)
    if wave.times is not None and wave.times < 1:
        silent = "repeats for ever" if wave.when_in_flight is None else "fires once"
        raise place.key("times").error(f"must be 1 or more, not {wave.times}; left out, the wave {silent}")
    if wave.status is not None and wave.status not in REFUSAL_STATUSES:
        raise place.key("status").error(_wrong_status(wave))
    _check_wrapping(wave, place)
    if wave.stagger is not None:
        _check_stagger(wave.stagger, wave, place)
    _check_share(wave.share, place)


def _wrong_status(wave: Wave) -> str:
    text = f"a refusal has a status from 400 to 599, not {wave.status}"
    if wave.status != 200:
        return f"{text}; write 429"
    if wave.wrapping == "in-200":
        return f'{text}; wrapping = "in-200" makes it a 200, and this is the one inside: write 429'
    return f'{text}; write 429, and for an error inside a 200 also wrapping = "in-200"'


def _check_wrapping(wave: Wave, place: Place) -> None:
    """What does not come from the provider itself has no place for what the provider would say."""
    if wave.wrapping not in _MUTE:
        return
    if wave.retry_after is not None and wave.retry_after.form == "body":
        raise place.key("retry_after").error(
            f'wrapping = "{wave.wrapping}" has no text to state it in; write form = "seconds"'
        )
    if wave.error is not None:
        raise place.key("error").error(
            f'wrapping = "{wave.wrapping}" says nothing of what is wrong; remove error or wrapping'
        )


def _check_barrier(when_in_flight: int, given: frozenset[str], place: Place) -> None:
    if when_in_flight < 1:
        raise place.key("when_in_flight").error(
            f"must be 1 or more, not {when_in_flight}; leave it out for a wave that runs by time"
        )
    for key in _WINDOW_KEYS:
        if key in given:
            raise place.key(key).error(f"a barrier has no window; remove {key} or remove when_in_flight")


def _check_window(wave: Wave, given: frozenset[str], place: Place) -> None:
    if "patience" in given:
        raise place.key("patience").error("only a barrier waits; remove patience or add when_in_flight")
    if wave.lasts is None:
        raise place.key("lasts").error(
            'is missing; say how long the wave is, such as lasts = "2s", or add when_in_flight for a barrier'
        )
    if wave.lasts <= 0:
        raise place.key("lasts").error(
            'must be longer than 0; write a length such as "2s", or remove the wave'
        )
    _check_every(wave, wave.lasts, place)


def _check_every(part: Wave | Fault, lasts: Duration, place: Place) -> None:
    if part.every is None:
        if part.times is not None:
            what = "wave that repeats" if isinstance(part, Wave) else "fault that lasts and repeats"
            raise place.key("times").error(f"a {what} says how often; add every or remove times")
        return
    if part.every < SHORTEST_CYCLE:
        raise place.key("every").error(
            f'{part.every} is too short, a minute would have millions of occurrences; write "1ms" or more'
        )
    if part.every < lasts:
        raise place.key("every").error(
            f"{part.every} is shorter than lasts ({lasts}), so occurrences would overlap; "
            f'write "{lasts}" or more'
        )


def _check_stagger(stagger: int, wave: Wave, place: Place) -> None:
    if wave.when_in_flight is not None:
        raise place.key("stagger").error("a barrier has no window; remove stagger or remove when_in_flight")
    if stagger <= 0 or 2 * stagger >= (wave.lasts or 0):
        raise place.key("stagger").error(
            f"must be more than 0 and less than half of lasts ({wave.lasts}), "
            f"not {wave.stagger}: each item, key or model is refused for a part of the wave"
        )
    if wave_scope(wave) == "account":
        raise place.key("stagger").error(
            'all are one account; write scope = "item", "key", "model" or "host"'
        )


def _check_fault(fault: Fault, place: Place) -> None:
    if fault.after_chunks < 0:
        raise place.key("after_chunks").error(
            f"must be 0 or more, not {fault.after_chunks}; 0 is before the first"
        )
    if fault.times is not None and fault.times < 1:
        raise place.key("times").error(
            f"must be 1 or more, not {fault.times}; to have none, remove the fault"
        )
    if fault.lasts is not None and fault.lasts <= 0:
        raise place.key("lasts").error('must be longer than 0; write a length such as "60s"')
    if fault.lasts is not None and has_window(fault):
        _check_every(fault, fault.lasts, place)
    elif fault.every is not None:
        raise place.key("every").error(_no_window(fault))
    if fault.error is not None and fault.kind in KINDS and fault.kind != "error-in-stream":
        raise place.key("error").error(f'{fault.kind} says nothing; remove error, or write "error-in-stream"')
    if fault.kind in CONNECTING and fault.match != Match(host=fault.match.host):
        raise place.key("match").error("a connection has no model, key or item yet; match only its host")
    _check_share(fault.share, place)


def _check_line_fault(fault: LineFault, given: frozenset[str], place: Place) -> None:
    if fault.times is not None and fault.times < 1:
        raise place.key("times").error(f"must be 1 or more, not {fault.times}; left out, it is every line")
    if fault.kind != "fails" and "error" in given:
        raise place.key("error").error(f'a line that is "{fault.kind}" says nothing; remove error')
    _check_share(fault.share, place)


def _no_window(fault: Fault) -> str:
    if fault.kind in DELAYS:
        return f"lasts is how long a {fault.kind} takes, so it has no window; remove every, or write times"
    return 'say how long it goes on each time: add lasts = "30s"; or remove every and write times'


def _check_share(share: float, place: Place) -> None:
    if not 0 < share <= 1:
        raise place.key("share").error(
            f"must be above 0 and at most 1, not {share}; write 0.4 for two in five"
        )


def _check_limits(limits: Limits, given: frozenset[str], place: Place) -> None:
    _check_positive(limits, _LIMIT_KEYS, place, "leave it out for the default")
    _check_window_of_limits(limits, given, place)
    daily = any(getattr(limits, key) is not None for key in _DAILY_KEYS)
    for key in ("day", "day_begins"):
        if key in given and not daily:
            raise place.key(key).error(f"there is no budget by the day; add {' or '.join(_DAILY_KEYS)}")
    if limits.day == "rolling" and "day_begins" in given:
        raise place.key("day_begins").error("a rolling day never begins; remove day_begins or day")
    if limits.day_begins >= DAY:
        raise place.key("day_begins").error(
            f"must be less than a day, not {limits.day_begins}; 8h is 08:00 UTC"
        )


def _check_window_of_limits(limits: Limits, given: frozenset[str], place: Place) -> None:
    counted = [key for key in _PER_KEYS if key in given]
    if counted and limits.per is None:
        raise place.key(counted[0]).error(
            f'in what time? Add per = "1s", or write {counted[0]}_per_minute = {getattr(limits, counted[0])}'
        )
    if limits.per is not None and not counted:
        raise place.key("per").error(f"nothing is counted in it; add {' or '.join(_PER_KEYS)}")
    if limits.window != "bucket" and not counted and not any(key in given for key in _MINUTE_KEYS):
        raise place.key("window").error(
            'nothing is counted in it; add requests_per_minute, or requests = 10 and per = "1s"'
        )
    if limits.window != "bucket" and "burst" in given:
        raise place.key("burst").error("it is the size of a bucket; remove burst or window")
    if limits.count_refused and not any(key.startswith("requests") for key in given):
        raise place.key("count_refused").error(
            "no requests are counted; add requests_per_minute, or remove count_refused"
        )


def _check_ramp(ramp: Ramp, place: Place) -> None:
    _check_positive(ramp, _RAMP_KEYS, place, "leave it out for the default")
    if ramp.requests is None and ramp.tokens is None:
        raise place.error("nothing is counted; say how many requests or tokens a window may always have")
    if ramp.growth_percent < 0:
        raise place.key("growth_percent").error(
            f"must be 0 or more, not {ramp.growth_percent}; 50 lets each window have half as much again"
        )


def _check_positive(struct: msgspec.Struct, keys: tuple[str, ...], place: Place, fix: str) -> None:
    for key in keys:
        value = getattr(struct, key)
        if value is not None and value <= 0:
            raise place.key(key).error(f"must be more than 0, not {value}; {fix}")


def _check_answers(answers: Answers, place: Place) -> None:
    if answers.tokens is not None and answers.usage is not None:
        raise place.key("tokens").error("usage has the lengths of answers, too; remove one of the two")
    if answers.text is None:
        return
    if not answers.text.strip():
        raise place.key("text").error("is empty; write what answers should say, or remove it")
    if _MARK in answers.text:
        raise place.key("text").error(f"{_MARK!r} begins the mark that distinguishes answers; remove it")
    for name in _IN_BRACES.findall(answers.text):
        # Other words in braces are left alone: they may be code, or JSON.
        if name not in PLACEHOLDERS and (meant := did_you_mean(name, PLACEHOLDERS, start="; ")):
            raise place.key("text").error(f"unknown placeholder {{{name}}}{meant}")


def _check_match(match: Match, place: Place) -> None:
    if match.path != "*" and not match.path.startswith(("/", "*")):
        raise place.key("path").error('a path begins with "/": write one such as "/v1/batches*"')
    if "/" in match.host:
        raise place.key("host").error(
            'it is a host alone, without "https://" and without a path: write one such as "api.openai.com"'
        )


def _check_clock(clock: ProviderClock, place: Place) -> None:
    if clock.ahead and clock.behind:
        raise place.key("behind").error("a clock is ahead or behind, not both; remove one of them")


def _check_latency(latency: Latency, place: Place) -> None:
    pace = latency.tokens_per_second
    if pace is not None and not (pace >= SLOWEST and math.isfinite(pace)):
        raise place.key("tokens_per_second").error(
            f"must be {SLOWEST} or more, not {pace}; leave it out for an answer that comes at once"
        )


def _check_retry_after(retry_after: RetryAfter, place: Place) -> None:
    if retry_after.form == "none" and retry_after.value is not None:
        raise place.key("value").error('the form "none" states nothing; remove value or choose another form')
