"""Half of a body, announced as all of it, is searched for what looks like the answer."""

from __future__ import annotations

import json
import re
from typing import Final

from ..tank.tank import Tank
from .plain_http import ask_until_read
from .specimen import Specimen
from .workload import weather

_ITEMS: Final = 4


def _searched(body: str) -> str | None:
    """What stands where the text should be, as far as it came."""
    found = re.search(r'"content":\s*"([^"]*)', body)
    return found[1] if found is not None else ""


def _parsed(body: str) -> str | None:
    try:
        return str(json.loads(body)["choices"][0]["message"]["content"])
    except ValueError:
        return None


async def _buggy(tank: Tank) -> None:
    await ask_until_read(tank, _ITEMS, _searched)


async def _twin(tank: Tank) -> None:
    await ask_until_read(tank, _ITEMS, _parsed)


SPECIMEN: Final = Specimen(
    name="half_a_body",
    row="34",
    kind="W",
    story="A proxy announces half of the bytes. A regular expression finds the beginning of the text, or "
    "nothing, and that is stored.",
    seen="issue 597 of curl_cffi",
    buggy=_buggy,
    twin=_twin,
    scenario=weather("one-body-cut-in-half", fault=[{"kind": "length-too-short", "times": 1}]),
    check="answered",
    failure="check",
    items=_ITEMS,
)
