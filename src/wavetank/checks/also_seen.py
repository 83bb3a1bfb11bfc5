"""What a program did that costs requests or time, and is no error."""

from __future__ import annotations

from collections.abc import Container
from typing import Final

from ..events import EventLog
from . import judge

_NOT_COUNTED: Final = ("retry_after", "shared_pause", "no_storm", "loop_responsive")
"""What a program may do and still be correct. The other strict checks are questions of style."""


def also_seen(log: EventLog, judged: Container[object] = ()) -> dict[str, str]:
    """What is worth a look: a line by the name of its check, but for those that have judged the run."""
    return {
        name: f"also seen, and not counted: {name}: {verdict.summary}"
        for name, verdict in judge(log, [name for name in _NOT_COUNTED if name not in judged]).items()
        if verdict.passed is False
    }
