"""Reads a JSON object in a text that may be anything."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any


def json_value(text: str | bytes) -> object:
    """The JSON value of a text, or `None` if the text is not JSON."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def json_object(text: str) -> Mapping[str, Any] | None:
    """The JSON object of a text, or `None` if the text is something else."""
    found = json_value(text)
    return found if isinstance(found, Mapping) else None
