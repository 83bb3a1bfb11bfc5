"""A learned scenario as a TOML file with comments: where it comes from, what was inferred, what assumed."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, Final

from ..clock import SECOND, Duration, format_duration
from ..scenario import written
from ..shown import Secrets
from ..text import counted
from .learning import Learned, by_status
from .limit_search import LearnedLimit

FIRST_LINE: Final = "# Learned by wavetank"
"""How a file begins that may be written over."""

_WINDOWS: Final = {
    "bucket": "a token bucket",
    "calendar": "a window of the clock",
    "sliding": "a sliding window",
}


def as_toml(learned: Learned) -> str:
    """The text of the file; the same for the same logs."""
    plain = written(learned.scenario)
    lines = [*_header(learned), "", *_values({key: plain[key] for key in ("title", "story")})]
    if "clock" in plain:
        lines += ["", "[clock]", "# The windows of the limit began so long before the instant 0."]
        lines += _values(plain["clock"])
    if "latency" in plain:
        lines += ["", "# From the 10th to the 90th percentile; first_token is the time of whole answers."]
        lines += ["[latency]", *_values(plain["latency"])]
    if learned.limits:
        lines += ["", *limits_as_toml(learned)]
    for wave, values in zip(learned.waves, _tables(plain.get("wave")), strict=True):
        lines += ["", f"[[wave]]  # {_clean(wave.comment)}", *_values(values)]
    return "\n".join(lines) + "\n"


def limits_as_toml(learned: Learned) -> list[str]:
    """The lines of the limits alone, with what explains each."""
    lines: list[str] = []
    for limit, values in zip(learned.limits, _tables(written(learned.scenario).get("limit")), strict=True):
        apart = [""] if lines else []
        lines += [*apart, *(f"# {line}" for line in _about_limit(limit)), "[[limit]]", *_values(values)]
    return lines


def summary(learned: Learned) -> str:
    """In one line what was learned."""
    refused = sum(each.refused for each in learned.collected.exchanges)
    found = [
        counted(len(part), what)
        for part, what in ((learned.limits, "limit"), (learned.waves, "wave"))
        if part
    ]
    total = counted(len(learned.collected.exchanges), "request")
    return f"{total}, {refused} refused: {' and '.join(found) or 'nothing was refused'}; {_replayed(learned)}"


def _header(learned: Learned) -> Iterator[str]:
    collected = learned.collected
    yield f"{FIRST_LINE}: what was refused then is refused again, at the same times."
    yield "#"
    for file in collected.files:
        others = f", {counted(file.passed_over, 'other entry', 'other entries')}" if file.passed_over else ""
        yield f"# {_clean(file.name)}: {file.kind}, {counted(file.requests, 'request')}{others}"
    last = collected.exchanges[-1].at - collected.exchanges[0].at
    counts = by_status(collected.exchanges)
    ended = ", ".join(f"{counts[name]} {name}" for name in sorted(counts, key=_rank))
    yield f"# In {_rounded(last)}: {ended}."
    if collected.start is None:
        yield "# Instants are those of the log, from the start of its run."
    else:
        yield f"# Instant 0 is {_date(collected.start)}, when the first request was sent."
    yield f"# {_replayed(learned).capitalize()}."
    yield "#"
    yield from _assumptions(learned)


def _rank(name: str) -> tuple[int, str]:
    return (0 if name == "served" else 1 if name.startswith("refused") else 2), name


def _replayed(learned: Learned) -> str:
    done = learned.replayed
    everything = sum(each.served or each.refused for each in learned.collected.exchanges)
    part = "" if done.requests == everything else "the first "
    return f"sent once more at their times, {done.same} of {part}{done.requests} requests meet the same"


def _assumptions(learned: Learned) -> Iterator[str]:
    counts = by_status(learned.collected.exchanges)
    said: list[str] = []
    if learned.limits:
        said.append("Inferred: limits; each explains all of its refusals, and lets in all that was served.")
    if learned.waves:
        said += [
            "Assumed: a wave begins up to a second before its first refusal, and ends up to a second after",
            "its last or when their Retry-After says, where no other request shows when.",
        ]
    if learned.waves and not learned.limits:
        said.append("No limit on requests or tokens explains all refusals, so there are waves.")
    if learned.put_together:
        said += [
            "Neighbouring waves were put together, as there were too many. Their share is the part of the",
            "requests that is refused; the seed decides which ones.",
        ]
    elif any(each.wave.share < 1 for each in learned.waves):
        said += ["Requests of one instant were both refused and served; here the seed decides which."]
    if any(name.startswith("wrong") for name in counts):
        said.append("Requests that were wrong by themselves are left out: they are refused at any time.")
    if "without an answer" in counts:
        said.append("Requests without an answer are left out: no status says what became of them.")
    return (f"# {line}" for line in [*said, *_hints(learned)])


def _hints(learned: Learned) -> Iterator[str]:
    """What the log says of a reason that the file does not repeat as a limit."""
    reasons: Counter[str] = sum((each.stretch.reasons for each in learned.waves), Counter())
    for reason in sorted(reasons):
        if reason not in ("", "wave", "barrier", "answer"):
            many = counted(reasons[reason], "request")
            yield f"The log says that {many} ran into a limit ({_clean(reason)}). Waves repeat when; a"
            yield "[[limit]] that you write yourself may show better why."


def _about_limit(found: LearnedLimit) -> Iterator[str]:
    limits = found.limits
    scope = "" if limits.scope is None else f" for each {limits.scope}"
    yield f"{counted(len(found.refusals), 'refusal')} explained by {_WINDOWS[limits.window]}{scope}."
    if found.low == found.high:
        yield "No other size fits all requests."
    else:
        yield f"Sizes from {found.low} to {found.high} fit all requests; the roundest was taken."
    if found.waits:
        yield f"{found.fitting_waits} of {found.waits} Retry-Afters agree with it, to within a second."
    if found.assumed:
        yield f"Assumed: {found.assumed}."
    if found.unit != "requests":
        yield "The fake counts the tokens of the prompts and answers that it sees: let them be as long."


def _tables(value: object) -> list[dict[str, Any]]:
    return value if isinstance(value, list) else []


def _values(values: object) -> Iterator[str]:
    assert isinstance(values, Mapping)
    for key, value in values.items():
        yield f"{key} = {_value(_short(value) if key == 'retry_after' else value)}"


def _short(retry_after: Mapping[str, Any]) -> object:
    """A Retry-After as a person writes it: `"2s"` or `"none"` where that says all."""
    if retry_after == {"form": "none"}:
        return "none"
    return retry_after["value"] if retry_after.keys() == {"value"} else retry_after


def _value(value: object) -> str:
    if isinstance(value, Mapping):
        return f"{{ {', '.join(f'{key} = {_value(each)}' for key, each in value.items())} }}"
    if isinstance(value, str):
        return json.dumps(_clean(value))
    return str(value).lower() if isinstance(value, bool) else str(value)


def _clean(text: str) -> str:
    """A text that stays in its line and shows no secret."""
    return Secrets().hide("".join(each if each.isprintable() else "?" for each in text))


def _date(ns: int) -> str:
    seconds, rest = divmod(ns, SECOND)
    fraction = f".{rest:09d}".rstrip("0").rstrip(".")
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}{fraction}Z"


def _rounded(ns: int) -> str:
    return format_duration(ns if ns < SECOND else Duration(ns // (SECOND // 10) * (SECOND // 10)))
