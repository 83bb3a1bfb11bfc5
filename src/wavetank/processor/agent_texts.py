"""Reads what command-line agents print when they are limited: Claude Code, Codex, Gemini CLI."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, tzinfo
from typing import Any, Final, Literal, final

from .reset_times import as_epoch, clock_text, finite, reset_instant, seconds_of

Verdict = Literal["limit", "throttle", "overload", "terminal"]

_APOSTROPHE: Final = "['\u2019]"
# A line has to begin with one of these, or with a label such as "API Error:" before it.
_LABEL: Final = r"(?:(?:\[?API Error|Error|ERROR|error|stream error):\s*)*"
_SENTENCES: Final[tuple[tuple[Verdict, str, str], ...]] = (
    ("limit", "plan limit", rf"You{_APOSTROPHE}ve hit your (?:[\w.\- ]+ )?limit\b"),
    ("limit", "plan limit", r"Claude (?:AI )?usage limit reached\b"),
    ("limit", "plan limit", r"Usage limit reached for [\w.\-]+"),
    ("limit", "spend limit", r"spend limit reached\b"),
    ("terminal", "daily quota", r"You have exhausted your daily quota on this model"),
    ("terminal", "credit balance too low", r"Credit balance is too low"),
    ("terminal", "quota", r"Quota exceeded\. Check your plan and billing details"),
    ("throttle", "throttled", r"Server is temporarily limiting requests"),
    ("throttle", "throttled", r"Request rejected \(429\)"),
    ("throttle", "throttled", r"exceeded retry limit, last status: 429"),
    ("throttle", "throttled", r"Possible quota limitations in place or slow response times"),
    ("overload", "overloaded", r"Repeated 529 Overloaded errors"),
    ("overload", "overloaded", r"Selected model is at capacity"),
    ("overload", "overloaded", r"We are currently experiencing high demand"),
)
_KNOWN: Final = tuple(
    (verdict, name, re.compile(_LABEL + sentence, re.IGNORECASE)) for verdict, name, sentence in _SENTENCES
)
_RETRY_AFTER: Final = re.compile(
    r"(?:try again|retry) (?:in|after) (\d[\d.]*\s*(?:ms|s|m|h)?(?:[\d.]+(?:ms|s))*)", re.IGNORECASE
)
_WHEN: Final = re.compile(r"(?:resets?(?: at)?|reset at|try again at)\s+(.+)|(\|\d{10,13})", re.IGNORECASE)
_WHOLE_LINES: Final = 3


@final
@dataclass(frozen=True, slots=True)
class AgentLimit:
    """What an agent said: what kind of limit it is, in words, and how long to wait in seconds if it told."""

    verdict: Verdict
    reason: str
    wait: float | None = None


def read_agent_text(text: str, *, now: float, tz: tzinfo = UTC) -> AgentLimit | None:
    """Find a limit in what an agent printed when it failed; each line is looked at from its beginning.

    >>> read_agent_text("You've hit your limit · resets 4pm (America/Los_Angeles)", now=1_767_218_400)
    AgentLimit(verdict='limit', reason='plan limit, resets 2026-01-01 00:00 UTC', wait=7200.0)
    >>> read_agent_text("The answer is 429.", now=0.0) is None
    True

    Args:
        text: what was printed.
        now: the present, in seconds since 1970.
        tz: the zone of clock times that name none.
    """
    if (told := _from_events(text, now, tz)) is not None:
        return told
    lines = text.replace("\u202f", " ").splitlines()
    for number, line in enumerate(lines):
        for verdict, name, pattern in _KNOWN:
            if pattern.match(line.strip()):
                return _limit(verdict, name, " ".join(lines[number : number + _WHOLE_LINES]), now, tz)
    return None


def is_only_a_limit(text: str) -> bool:
    """Whether a text is a limit message and nothing else.

    An agent may end well although it was limited; then the message stands where the answer
    should. An answer that speaks of limits has more to say.

    >>> is_only_a_limit("You've hit your limit · resets 4pm")
    True
    >>> is_only_a_limit("It means: You've hit your limit · resets 4pm")
    False
    """
    lines = [line.strip() for line in text.strip().splitlines() if line.strip()]
    return 0 < len(lines) <= _WHOLE_LINES and any(
        pattern.match(lines[0]) and len(lines[0]) <= 250 for _, _, pattern in _KNOWN
    )


def _limit(verdict: Verdict, name: str, text: str, now: float, tz: tzinfo) -> AgentLimit:
    """What a sentence and the lines after it say about coming back."""
    wait = wait_in_words(text)
    if wait is None and (when := _WHEN.search(text)):
        at = reset_instant(when[1] or when[2], now=now, tz=tz)
        wait = None if at is None else max(0.0, at - now)
    return AgentLimit(verdict, _with_reset(name, wait, now, tz), wait)


def wait_in_words(text: str) -> float | None:
    """The seconds in a sentence such as `Please try again in 1.798s`, or `None`.

    >>> wait_in_words("Please retry after 7 seconds."), wait_in_words("try again in 9m38.016s.")
    (7.0, 578.016)
    """
    found = _RETRY_AFTER.search(text)
    return None if found is None else seconds_of(found[1].strip().rstrip("."))


def _with_reset(name: str, wait: float | None, now: float, tz: tzinfo) -> str:
    return name if wait is None else f"{name}, resets {clock_text(now + wait, tz)}"


def _from_events(text: str, now: float, tz: tzinfo) -> AgentLimit | None:
    """The last `rate_limit_event` of a stream of JSON lines, if it says that we were rejected."""
    last: Mapping[str, Any] | None = None
    for event in _events(text):
        if event.get("type") == "rate_limit_event":
            info = event.get("rate_limit_info")
            last = info if isinstance(info, Mapping) else None
    if last is None or last.get("status") != "rejected":
        return None
    told = last.get("resetsAt")
    at = None if isinstance(told, str) else finite(told)
    wait = None if at is None else max(0.0, as_epoch(at) - now)
    name = f"plan limit ({last.get('rateLimitType', 'unknown')})"
    return AgentLimit("limit", _with_reset(name, wait, now, tz), wait)


def _events(text: str) -> Iterator[Mapping[str, Any]]:
    for line in text.splitlines():
        if line.startswith("{"):
            try:
                event = json.loads(line)
            except (ValueError, RecursionError):
                continue
            if isinstance(event, Mapping):
                yield event
