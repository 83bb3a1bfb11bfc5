"""A stream that just ends is taken for a whole answer."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Final

from ..tank.tank import Tank
from .plain_http import body_of, client_of
from .specimen import Specimen
from .workload import submitted, weather

_ITEMS: Final = 4


def _joined(body: str) -> tuple[str, str | None]:
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


def _whatever_came(body: str) -> str | None:
    return _joined(body)[0]


def _if_finished(body: str) -> str | None:
    text, finish = _joined(body)
    return text if finish is not None else None


async def _run(tank: Tank, read: Callable[[str], str | None]) -> None:
    async with client_of(tank) as client:
        for item in submitted(tank, _ITEMS):
            text = None
            while text is None:
                text = read(await body_of(client, item, stream=True))
            tank.ledger.complete(item, text)


async def _buggy(tank: Tank) -> None:
    await _run(tank, _whatever_came)


async def _twin(tank: Tank) -> None:
    await _run(tank, _if_finished)


SPECIMEN: Final = Specimen(
    name="stream_just_ends",
    row="32",
    kind="W",
    story="A stream ends after some words, without an error and without a finish reason. The words that came "
    "are stored as the answer.",
    seen="issue 64 of pycodeloop",
    buggy=_buggy,
    twin=_twin,
    scenario=weather(
        "one-stream-just-ends", fault=[{"kind": "truncated-json", "after_chunks": 3, "times": 1}]
    ),
    check="answered",
    failure="check",
    items=_ITEMS,
)
