"""An error in a body with status 200 is stored as an answer without text."""

from __future__ import annotations

import json
from typing import Final

from ..tank.tank import Tank
from .plain_http import ask_until_read
from .specimen import Specimen
from .workload import weather

_ITEMS: Final = 4


def _first_text(body: str) -> str | None:
    """The text of the first choice; an answer without one is empty."""
    choices = json.loads(body).get("choices") or [{"message": {"content": ""}}]
    return str(choices[0]["message"]["content"])


def _unless_an_error(body: str) -> str | None:
    return None if "error" in json.loads(body) else _first_text(body)


async def _buggy(tank: Tank) -> None:
    await ask_until_read(tank, _ITEMS, _first_text)


async def _twin(tank: Tank) -> None:
    await ask_until_read(tank, _ITEMS, _unless_an_error)


SPECIMEN: Final = Specimen(
    name="error_inside_200",
    row="33",
    kind="W",
    story="The status is 200 and the body says that something went wrong. A body without choices is read as "
    "an answer without text.",
    seen="pull request 43 of Saturn",
    buggy=_buggy,
    twin=_twin,
    scenario=weather("one-error-inside-200", fault=[{"kind": "error-in-stream", "times": 1}]),
    check="answered",
    failure="check",
    items=_ITEMS,
)
