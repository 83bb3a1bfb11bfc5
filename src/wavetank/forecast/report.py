"""A forecast in words: a table for the terminal, CSV, JSON, and the assumptions behind it."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Any, Final

import msgspec

from ..scenario import Latency
from ..text import counted, duration_text
from .cases import Case
from .clients import PROCESSOR
from .estimates import Estimate, Forecast, smallest_as_good

_CSV_COLUMNS: Final = (
    "limits",
    "scenario",
    "client",
    "parallel",
    "seeds",
    "median_seconds",
    "median_within",
    "p95_seconds",
    "p95_within",
    "first_row_seconds",
    "last_row_seconds",
    "rows",
    "completed",
    "requests",
    "refused",
    "retries",
    "input_tokens",
    "output_tokens",
    "cost",
    "binds",
    "undone",
)


def text_lines(forecasts: Sequence[Forecast], assumptions: Sequence[str]) -> Iterator[str]:
    """The whole answer for a terminal."""
    yield from _table(forecasts)
    for each in forecasts:
        for cause, count in each.undone.items():
            yield f"{_name(each, forecasts)}: {count:,.0f} of {each.rows:,} rows are left undone: {cause}"
    yield from warnings_of(forecasts)
    yield from recommendations(forecasts)
    yield "assumed:"
    for line in assumptions:
        yield f"  {line}"


def warnings_of(forecasts: Sequence[Forecast]) -> Iterator[str]:
    """Which times are uncertain, and why, a line each."""
    for each in forecasts:
        if each.time.is_uncertain:
            yield (
                f"{_name(each, forecasts)}: the time is uncertain ({within_text(each.time)}): "
                f"{counted(each.seeds, 'run')} took {_from_to(each.time)}. Which requests are slow or "
                f"refused is chance, and {each.rows:,} rows do not average it out: plan with the 95% column, "
                "not with the median"
            )


def _from_to(time: Estimate) -> str:
    least, most = duration_text(time.least), duration_text(time.most)
    return least if least == most else f"from {least} to {most}"


def recommendations(forecasts: Sequence[Forecast]) -> Iterator[str]:
    """The smallest `-j` that is as good as the best, for each set of limits and scenario."""
    for names, group in _groups(forecasts):
        if len(group) > 1:
            found = smallest_as_good(group)
            where = ", ".join(part for part in names if part)
            several = f"{where}: " if len(group) < len(forecasts) and where else ""
            if found.undone:
                yield f"{several}no -j gets all rows done; -j {found.parallel} leaves the fewest undone"
            else:
                yield f"{several}the smallest -j within 2 % of the best is {found.parallel}"


def _groups(forecasts: Sequence[Forecast]) -> Iterator[tuple[tuple[str, str, str], list[Forecast]]]:
    for key, group in groupby(forecasts, key=lambda each: (each.limits, each.scenario, each.client)):
        yield key, list(group)


def _name(each: Forecast, forecasts: Sequence[Forecast]) -> str:
    parts = [f"-j {each.parallel}"]
    if len({other.limits for other in forecasts}) > 1:
        parts.append(each.limits)
    if len({other.scenario for other in forecasts}) > 1:
        parts.append(each.scenario or "no scenario")
    if len({other.client for other in forecasts}) > 1:
        parts.append(each.client)
    return ", ".join(parts)


def within_text(estimated: Estimate) -> str:
    """How far off a median may be, in percent."""
    part = estimated.median_within / estimated.median if estimated.median else 0.0
    return "± <0.1%" if part < 0.001 else f"± {part:.1%}"


def cost_text(cost: float | None) -> str:
    """A cost in US dollars."""
    return "?" if cost is None else f"${cost:,.2f}" if cost >= 0.1 else f"${cost:.4f}"


def _table(forecasts: Sequence[Forecast]) -> Iterator[str]:
    head = (
        "",
        "time",
        "",
        "95% end by",
        "first row",
        "last row",
        "refused",
        "retries",
        "cost",
        "undone",
        "binds",
    )
    rows = [head]
    for each in forecasts:
        rows.append(
            (
                _name(each, forecasts),
                duration_text(each.time.median),
                within_text(each.time),
                duration_text(each.time.p95),
                "-" if each.first_row is None else duration_text(each.first_row),
                "-" if each.last_row is None else duration_text(each.last_row),
                f"{each.refused:,.0f}",
                f"{each.retries:,.0f}",
                cost_text(each.cost),
                f"{each.rows - each.completed:,.0f}",
                each.binds,
            )
        )
    widths = [max(len(row[place]) for row in rows) for place in range(len(head))]
    for row in rows:
        cells = [
            cell.ljust(width) if place in (0, len(head) - 1) else cell.rjust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        yield "  ".join(cells).rstrip()


def as_csv(forecasts: Sequence[Forecast]) -> bytes:
    """One case a line; times in seconds."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(_CSV_COLUMNS)
    for each in forecasts:
        values = msgspec.structs.asdict(each) | {
            "median_seconds": each.time.median,
            "median_within": each.time.median_within,
            "p95_seconds": each.time.p95,
            "p95_within": each.time.p95_within,
            "first_row_seconds": each.first_row,
            "last_row_seconds": each.last_row,
            "undone": "; ".join(f"{count:g}: {cause}" for cause, count in each.undone.items()),
        }
        writer.writerow([values[name] for name in _CSV_COLUMNS])
    return text.getvalue().encode()


def as_json(forecasts: Sequence[Forecast], assumptions: Sequence[str]) -> dict[str, Any]:
    """The whole answer for programs; times in seconds."""
    return {
        "forecasts": [msgspec.to_builtins(each) for each in forecasts],
        "recommendations": [
            {
                "limits": limits,
                "scenario": scenario,
                "client": client,
                "parallel": smallest_as_good(group).parallel,
            }
            for (limits, scenario, client), group in _groups(forecasts)
        ],
        "assumptions": list(assumptions),
    }


_WITHOUT: Final = {
    "tokens": "the batch ends early if that is spent before",
    "batch": "the rows are sent one by one, not as a batch of the provider",
}


def assumptions_of(cases: Sequence[Case], rows: Sequence[str]) -> list[str]:
    """What a forecast of these cases assumes, one sentence each."""
    said = list(rows)
    for case in {case.limits: case for case in cases}.values():
        if case.limits:
            dates = ", ".join(f"{source.url} ({source.date})" for source in case.sources)
            said.append(f"limits: {case.limits}, as of {dates}")
        elif not case.numbers:
            said.append("limits: none")
        else:
            said.append("limits: those of the scenario")
    said.append(
        "budgets: unspent at the start, nobody else uses them; a minute's budget refills all the time, and a "
        "second's worth of it may be spent at once"
    )
    for name, value in {pair: None for case in cases for pair in case.not_modelled.items()}:
        said.append(f"not modelled: {name.replace('_', ' ')} ({value:,}); {_WITHOUT[name.partition('_')[0]]}")
    said += dict.fromkeys(f"latency: {_latency(case.setup.scenario.latency)}" for case in cases)
    said += dict.fromkeys(
        f"prices: ${setup.price_input:g} in, ${setup.price_output:g} out for a million tokens"
        if setup.price_input is not None and setup.price_output is not None
        else "prices: not known (--price-input and --price-output)"
        for setup in (case.setup for case in cases)
    )
    quota = {"fail": "ends the run (--on-quota wait)", "wait": "is waited for"}[cases[0].setup.on_quota]
    said += dict.fromkeys(f"client: {_client(case.setup.client)}" for case in cases)
    said.append(f"quota: a spent quota of a day {quota}")
    if any(case.scenario for case in cases):
        said.append("scenario: it begins with the run; limits that are named replace its own")
    else:
        said.append("scenario: no outage and no error of the provider (--scenario brownout)")
    return said


def _client(name: str) -> str:
    if name == PROCESSOR:
        return "the reference processor, as in `wavetank run`"
    kind, _, number = name.partition(":")
    if kind == "litellm":
        return f"{name}: the Router of litellm with {number or 2} retries; what it gives up is undone"
    behind = "behind an AsyncLimiter of the requests in a minute, " if kind == "aiolimiter" else ""
    return f"{name}: the OpenAI SDK, {behind}with {number or 'its own'} retries; what it gives up is undone"


def _latency(latency: Latency) -> str:
    first = latency.first_token
    begin = f"{first.low}" if first.low == first.high else f"{first.low} to {first.high}"
    pace = f"then {latency.tokens_per_second:g} tokens/s" if latency.tokens_per_second else "then all at once"
    return f"the first token after {begin}, {pace}; a usage log with seconds goes before that"
