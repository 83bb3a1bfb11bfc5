"""A stream that ends too early is taken for a complete answer."""

from __future__ import annotations

import json
from functools import partial
from typing import Final

from .plain_http import ask_until_read
from .specimen import specimen
from .workload import scenario_of


def _text_and_finish(body: str) -> tuple[str, str | None]:
    """The text of the chunks that can be read, and why the answer finished."""
    text, finish = "", None
    for line in body.splitlines():
        try:
            choice = json.loads(line.removeprefix("data: "))["choices"][0]
        except ValueError:
            continue
        text += choice["delta"].get("content") or ""
        finish = choice["finish_reason"] or finish
    return text, finish


def _text_so_far(body: str) -> str | None:
    return _text_and_finish(body)[0]


def _text_if_finished(body: str) -> str | None:
    text, finish = _text_and_finish(body)
    return text if finish is not None else None


SPECIMEN: Final = specimen(
    name="stream_just_ends",
    row="32",
    kind="W",
    story="A stream ends after some words, without an error and without a finish reason. The words that came "
    "are stored as the answer.",
    seen="issue 64 of pycodeloop",
    run=partial(ask_until_read, stream=True),
    variants=(_text_so_far, _text_if_finished),
    scenario=scenario_of(
        "one-stream-just-ends", fault=[{"kind": "truncated-json", "after_chunks": 3, "times": 1}]
    ),
    check="answered",
    failure="check",
    items=4,
)
