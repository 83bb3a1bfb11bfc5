"""The page of a campaign: what was searched and found, with links to the timelines of the failures."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from html import escape
from pathlib import Path
from typing import Any
from urllib.parse import quote

from ..report.page import document
from ..text import counted
from .campaign_report import workers

_KINDS = {"run": "order of tasks", "stall": "stalls", "provider": "choices of the provider"}


def campaign_page(values: Mapping[str, Any], page: Path) -> bytes:
    """The page, to be written to the file `page`, of a campaign's report as plain values."""
    failed, count = values["failed"], len(values["tests"])
    how = f"{failed} of {count} failed" if failed else "no failure"
    return document(f"wavetank explore: {how}", "".join(_body(values, how, page.parent)))


def _body(values: Mapping[str, Any], how: str, folder: Path) -> Iterator[str]:
    passed = "" if values["failed"] else " passed"
    yield f'<h1>wavetank explore: <span class="how{passed}">{escape(how)}</span></h1>\n'
    rate = values["schedules"] / max(values["seconds"], 0.001)
    made_by = workers(values["processes"], values["engine"])
    yield (
        f'<p class="facts">{counted(len(values["tests"]), "test")} · {values["schedules"]} schedules in '
        f"{values['seconds']:.1f} s ({rate:.0f}/s) · {escape(made_by)}</p>\n"
    )
    if values["resume"]:
        yield f'<p>To go on:</p>\n<div class="repeat"><code>{escape(values["resume"])}</code></div>\n'
    yield (
        '<table class="tests">\n<thead><tr><th>test</th><th>scenario</th><th>result</th><th>schedules</th>'
        "<th>distinct</th><th>alternatives taken</th></tr></thead>\n<tbody>\n"
    )
    tests = sorted(values["tests"], key=lambda test: not test["failed"])
    most = max((test["schedules"] for test in tests), default=0)
    for number, test in enumerate(tests, start=1):
        yield _row(test, number, most, folder)
    yield "</tbody>\n</table>\n"
    if "compared" in values:
        yield from _comparison(values["compared"])
    for number, test in enumerate(tests, start=1):
        if test["failed"]:
            yield from _failure(test, number, folder)


def _comparison(compared: Mapping[str, Any]) -> Iterator[str]:
    yield f"<h2>compared with {escape(compared['file'])}</h2>\n"
    yield (
        '<table class="tests">\n<thead><tr><th>test</th><th>change</th><th>then</th><th>now</th>'
        "<th>schedules</th><th>distinct</th><th>alternatives taken</th></tr></thead>\n<tbody>\n"
    )
    for row in compared["tests"]:
        worse = row["change"] in ("fails now", "still fails")
        numbers = "".join(
            f"<td>{row[name]:+}</td>" if name in row else "<td></td>"
            for name in ("schedules", "distinct", "alternatives")
        )
        yield (
            f'<tr><td>{escape(row["test"])}</td><td class="how{"" if worse else " passed"}">'
            f"{row['change']}</td><td>{escape(row['was'] or '')}</td><td>{escape(row['now'] or '')}</td>"
            f"{numbers}</tr>\n"
        )
    yield "</tbody>\n</table>\n"


def _row(test: Mapping[str, Any], number: int, most: int, folder: Path) -> str:
    about = "" if test["distinct_is_exact"] else "about "
    name, result = escape(test["test"]), escape(test["result"])
    shown = f'<a href="#failure-{number}">{result}</a>{_link(test, folder)}' if test["failed"] else result
    taken = "".join(
        f"{escape(_KINDS.get(kind, kind))}: {at['taken']} of {at['options']}, {at['deviated']} of "
        f"{at['points']} places{_bar(at['taken'], at['options'])}"
        for kind, at in test["choice_points"].items()
    )
    earlier = f" ({test['earlier']} earlier)" if test["earlier"] else ""
    return (
        f"<tr><td>{name}</td><td>{escape(test['scenario'] or '')}</td>"
        f'<td class="how{"" if test["failed"] else " passed"}">{shown}</td>'
        f"<td>{test['schedules']}{earlier}{_bar(test['schedules'], most)}</td>"
        f"<td>{about}{test['distinct']}</td><td>{taken}</td></tr>\n"
    )


def _bar(part: int, whole: int) -> str:
    share = 100 * part / max(whole, 1)
    return (
        '<svg class="share" width="100" height="6" aria-hidden="true">'
        '<rect class="gutter" width="100" height="6"/>'
        f'<rect class="answered" width="{share:.1f}" height="6"/></svg>'
    )


def _failure(test: Mapping[str, Any], number: int, folder: Path) -> Iterator[str]:
    yield f'<h2 id="failure-{number}">{escape(test["test"])}: {escape(test["result"])}</h2>\n'
    if link := _link(test, folder):
        yield f"<p>{link.strip()}</p>\n"
    yield f"<pre>{escape(test['report'] or '')}</pre>\n"


def _link(test: Mapping[str, Any], folder: Path) -> str:
    """To the timeline of the failure, relative to the folder of the page, so that both can be moved."""
    if not test["timeline"]:
        return ""
    path = Path(os.path.relpath(test["timeline"], folder)).as_posix()
    return f' <a href="{escape(quote(path))}">timeline of the failing run</a>'
