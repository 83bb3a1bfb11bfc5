"""Half of a body, announced as all of it, is searched for the answer with a regular expression."""

from __future__ import annotations

import json
import re
from typing import Final

from .plain_http import ask_until_read
from .specimen import specimen
from .workload import scenario_of


def _text_by_regex(body: str) -> str | None:
    """As much of the text as has arrived."""
    found = re.search(r'"content":\s*"([^"]*)', body)
    return found[1] if found is not None else ""


def _text_by_json(body: str) -> str | None:
    try:
        return str(json.loads(body)["choices"][0]["message"]["content"])
    except ValueError:
        return None


SPECIMEN: Final = specimen(
    name="half_a_body",
    row="34",
    kind="W",
    story="A proxy announces half of the bytes. A regular expression finds the beginning of the text, or "
    "nothing, and that is stored.",
    seen="issue 597 of curl_cffi",
    run=ask_until_read,
    variants=(_text_by_regex, _text_by_json),
    scenario=scenario_of("one-body-cut-in-half", fault=[{"kind": "length-too-short", "times": 1}]),
    check="answered",
    failure="check",
    items=4,
)
