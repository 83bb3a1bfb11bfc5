"""The page of a forecast: a chart and a table in one file, in the style of the timeline, without a script."""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence
from typing import Final

from ..report.page import document
from ..text import duration_text
from .clients import PROCESSOR
from .estimates import Forecast
from .report import cost_text, recommendations, warnings_of, within_text

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
_CASE: Final = 42
_BAR: Final = 18
"""Pixels of height: a case with its name and its gap, and its bar."""
_WIDE: Final = 80
"""Percent of the page that the longest bar takes: behind it is its time, which takes up to 60 pixels."""


def forecast_page(forecasts: Sequence[Forecast], assumptions: Sequence[str]) -> bytes:
    """The page; the same forecasts give the same bytes, and it loads nothing."""
    rows = forecasts[0].rows
    title = f"Forecast of {rows:,} rows"
    parts = [
        f"<h1>{html.escape(title)}</h1>",
        *_paragraphs((*warnings_of(forecasts), *recommendations(forecasts))),
    ]
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
    """A bar to the median of each case and a pale one to its 95th percentile, as wide as the page."""
    longest = max(max(each.time.p95, each.time.median) for each in forecasts) or 1.0
    shapes = [_bars(place, each, longest) for place, each in enumerate(forecasts)]
    undone = any(each.completed < each.rows for each in forecasts)
    return (
        f'<svg width="100%" height="{len(forecasts) * _CASE}" role="img" '
        f'aria-label="the time of each case: median and 95th percentile">{"".join(shapes)}</svg>'
        '<p class="facts">a bar ends at the median, the pale one behind it at the 95th percentile'
        f"{'; of another colour are cases that leave rows undone' if undone else ''}</p>"
    )


def _bars(place: int, each: Forecast, longest: float) -> str:
    top = place * _CASE
    end, far = (_WIDE * value / longest for value in (each.time.median, each.time.p95))
    kind = "answered" if each.completed >= each.rows else "refused"
    name = html.escape(_name(each))
    bar = f'height="{_BAR}" x="0" y="{top + 17}"'
    return (
        f"<g><title>{name}: {html.escape(each.binds)}</title>"
        f'<text x="0" y="{top + 12}">{name}</text>'
        f'<rect class="bar {kind} under" {bar} width="{max(end, far):.2f}%"/>'
        f'<rect class="bar {kind}" {bar} width="{end:.2f}%"/>'
        f'<text x="{max(end, far):.2f}%" dx="6" y="{top + 30}">{duration_text(each.time.median)}</text></g>'
    )


def _table(forecasts: Sequence[Forecast]) -> str:
    head = "".join(f"<th>{html.escape(name)}</th>" for name in _HEAD)
    body = "".join(f"<tr>{_cells(each)}</tr>" for each in forecasts)
    table = f'<table class="tests figures"><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>'
    return f'<div class="wide">{table}</div>'


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
