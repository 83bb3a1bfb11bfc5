"""The page `timeline.html`: one file with its picture, its style and its script, which loads nothing."""

from __future__ import annotations

import base64
import hashlib
import html
import json
from collections.abc import Sequence
from importlib.resources import files
from typing import Final

from ..events import EventLog
from .page_model import page_model
from .sentences import passing_of

_SCRIPTS: Final = ("runs", "axis", "texts", "chart", "shapes", "reader")
"""The parts of the script, in the order in which they run."""
_STYLE: Final = "timeline.css"


def timeline_page(logs: Sequence[EventLog]) -> bytes:
    """The page of one run, or of several on one axis of time; the same logs give the same bytes.

    What the logs hold is data of the page and never part of its markup or its script. Its policy (Content
    Security Policy) lets only this script and this style in, by their hashes, and no request out.
    """
    passing = passing_of(logs)
    runs = [page_model(log, passing if log is logs[0] else None) for log in logs]
    title = " / ".join(dict.fromkeys(f"{run['title']}: {run['how']}" for run in runs))
    script = "".join(_part(f"script/{name}.js") for name in _SCRIPTS)
    body = (
        "<noscript>This page draws a run with a script of its own: allow scripts to see it.</noscript>\n"
        f'<script type="application/json" id="runs">{_data(runs)}</script>\n<script>{script}</script>\n'
    )
    return document(title, body, script=script)


def document(title: str, body: str, *, script: str = "") -> bytes:
    """A page in the style of the timeline, which loads nothing; of scripts its policy lets in this one."""
    style = _part(_STYLE)
    scripts = f"script-src '{_hash(script)}'; " if script else ""
    policy = f"default-src 'none'; {scripts}style-src '{_hash(style)}'; base-uri 'none'; form-action 'none'"
    page = (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n'
        f"<title>{html.escape(title)}</title>\n<style>{style}</style>\n</head>\n<body>\n{body}</body>\n</html>\n"
    )
    return page.encode("utf-8", "backslashreplace")


def _part(name: str) -> str:
    return files(__package__).joinpath(name).read_text("utf-8")


def _hash(text: str) -> str:
    digest = hashlib.sha256(text.encode()).digest()
    return f"sha256-{base64.b64encode(digest).decode()}"


def _data(value: object) -> str:
    """JSON that can stand in an element `script`: nothing in it closes the element or opens a comment."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text
