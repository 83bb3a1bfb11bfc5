"""An error in a body with status 200 is stored as an empty answer."""

from __future__ import annotations

import json
from typing import Final

from .plain_http import ask_until_read
from .specimen import specimen
from .workload import scenario_of


def _text_of(body: str) -> str | None:
    """The text of the first choice; empty if there is none."""
    choices = json.loads(body).get("choices") or [{"message": {"content": ""}}]
    return str(choices[0]["message"]["content"])


def _text_unless_error(body: str) -> str | None:
    return None if "error" in json.loads(body) else _text_of(body)


SPECIMEN: Final = specimen(
    name="error_inside_200",
    row="33",
    kind="W",
    story="The status is 200 and the body is an error. A body without choices is read as an answer without "
    "text.",
    seen="pull request 43 of Saturn",
    run=ask_until_read,
    variants=(_text_of, _text_unless_error),
    scenario=scenario_of("one-error-inside-200", fault=[{"kind": "error-in-stream", "times": 1}]),
    check="answered",
    failure="check",
    items=4,
)
