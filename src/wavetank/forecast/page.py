"""The page of a forecast: a chart and a table in one file, in the style of the timeline, without a script."""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence
from typing import Final

from ..report.page import document
from ..text import duration_text
from .clients import PROCESSOR
from .estimates import Forecast
from .report import cost_text, recommendations, within_text

_HEAD: Final = (
    "limits",
    "scenario",
    "client",
    "-j",
    "time (median)",
    "95 % end by",
    "first row",
    "last row",
    "refused",
    "retries",
    "cost",
    "undone",
    "binds",
)
_LEFT: Final = 330
_WIDE: Final = 560
_BAR: Final = 26
_RIGHT: Final = 110
"""Pixels of the chart: names, bars, the height of a bar with its gap, and the texts behind the bars."""


def forecast_page(forecasts: Sequence[Forecast], assumptions: Sequence[str]) -> bytes:
    """The page; the same forecasts give the same bytes, and it loads nothing."""
    rows = forecasts[0].rows
    title = f"Forecast of {rows:,} rows"
    parts = [f"<h1>{html.escape(title)}</h1>", *_paragraphs(recommendations(forecasts))]
    parts += ["<h2>Time</h2>", _chart(forecasts), "<h2>All figures</h2>", _table(forecasts)]
    undone = [
        f"{_name(each)}: {count:,.0f} rows are left undone: {cause}"
        for each in forecasts
        for cause, count in each.undone.items()
    ]
    if undone:
        parts += ["<h2>Rows left undone</h2>", *_paragraphs(undone)]
    parts += ["<h2>Assumed</h2>", *_paragraphs(assumptions)]
    return document(title, "\n".join(parts) + "\n")


def _paragraphs(texts: Iterable[str]) -> list[str]:
    return [f"<p>{html.escape(text)}</p>" for text in texts]


def _name(each: Forecast) -> str:
    parts = (each.limits, each.scenario, each.client, f"-j {each.parallel}")
    return ", ".join(part for part in parts if part not in ("", PROCESSOR))


def _chart(forecasts: Sequence[Forecast]) -> str:
    """A bar from 0 to the median of each case, and a line from there to its 95th percentile."""
    longest = max(max(each.time.p95, each.time.median) for each in forecasts) or 1.0
    high = len(forecasts) * _BAR + 6
    shapes = [_bar(place, each, longest) for place, each in enumerate(forecasts)]
    return (
        f'<svg width="{_LEFT + _WIDE + _RIGHT}" height="{high}" role="img" '
        f'aria-label="the time of each case: median and 95th percentile">{"".join(shapes)}</svg>'
        '<p class="facts">a bar ends at the median, the line behind it at the 95th percentile</p>'
    )


def _bar(place: int, each: Forecast, longest: float) -> str:
    top = place * _BAR + 4
    middle = top + _BAR // 2 - 4
    end, far = (_LEFT + round(_WIDE * value / longest) for value in (each.time.median, each.time.p95))
    kind = "answered" if each.completed >= each.rows else "refused"
    name = html.escape(_name(each))
    return (
        f"<g><title>{name}: {html.escape(each.binds)}</title>"
        f'<text x="{_LEFT - 8}" y="{middle + 4}" text-anchor="end">{name}</text>'
        f'<rect class="bar {kind}" x="{_LEFT}" y="{top}" width="{max(1, end - _LEFT)}" height="{_BAR - 8}"/>'
        f'<line class="rule" x1="{end}" x2="{far}" y1="{middle}" y2="{middle}"/>'
        f'<text x="{far + 6}" y="{middle + 4}">{duration_text(each.time.median)}</text></g>'
    )


def _table(forecasts: Sequence[Forecast]) -> str:
    head = "".join(f"<th>{html.escape(name)}</th>" for name in _HEAD)
    body = "".join(f"<tr>{_cells(each)}</tr>" for each in forecasts)
    return f'<table class="tests figures"><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>'


def _cells(each: Forecast) -> str:
    cells = (
        each.limits or "none",
        each.scenario or "none",
        each.client,
        str(each.parallel),
        f"{duration_text(each.time.median)} {within_text(each.time)}",
        duration_text(each.time.p95),
        "-" if each.first_row is None else duration_text(each.first_row),
        "-" if each.last_row is None else duration_text(each.last_row),
        f"{each.refused:,.0f}",
        f"{each.retries:,.0f}",
        cost_text(each.cost),
        f"{each.rows - each.completed:,.0f}",
        each.binds,
    )
    return "".join(f"<td>{html.escape(cell)}</td>" for cell in cells)
