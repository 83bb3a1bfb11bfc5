"""Reads the messages of limited command-line agents: Claude Code, Codex, Gemini CLI."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, tzinfo
from typing import Any, Final, Literal, final

from .json_object import json_object
from .log_lines import is_quoted, log_lines, message_start, plain, says_more
from .reset_times import RESETS, UntilInstant, as_epoch, clock_text, finite, moment, reset_moment, seconds_of

Verdict = Literal["limit", "throttle", "overload", "terminal"]

_APOSTROPHE: Final = "['\u2019]"
# What the agents themselves put before a message that is printed in place of an answer.
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
    (verdict, name, re.compile(sentence, re.IGNORECASE)) for verdict, name, sentence in _SENTENCES
)
_ANSWERS: Final = re.compile(
    f"{_LABEL}(?:{'|'.join(sentence for _, _, sentence in _SENTENCES)})", re.IGNORECASE
)
_RETRY_AFTER: Final = re.compile(
    r"(?:try again|retry) (?:in|after) (\d[\d.]*\s*(?:ms|s|m|h)?(?:[\d.]+(?:ms|s))*)", re.IGNORECASE
)
_WHEN: Final = re.compile(r"(?:resets?(?: at)?|reset at|try again at)\s+(.+)|(\|\d{10,13})", re.IGNORECASE)
_WHOLE_LINES: Final = 3
"""The longest message, of Gemini CLI, has three lines."""
_LONGEST_MESSAGE: Final = 250
"""In characters: the longest message, of Codex, has about 200."""


@final
@dataclass(frozen=True, slots=True)
class AgentLimit:
    """A limit that an agent reported: its kind, the reason in words, and the wait in seconds if stated.

    `resets` is the instant at which it resets, in the time zone of the message.
    """

    verdict: Verdict
    reason: str
    wait: float | None = None
    resets: datetime | None = field(default=None, compare=False, repr=False)


def read_agent_text(text: str, *, now: float, tz: tzinfo = UTC) -> AgentLimit | None:
    """Find a limit in the output of an agent that failed.

    A message is also found behind what logs put before it: time, level, labels, colours, JSON.
    A message that a longer answer quotes is not taken for one; `log_lines` has the rules.

    >>> read_agent_text("You've hit your limit · resets 4pm (America/Los_Angeles)", now=1_767_218_400)
    AgentLimit(verdict='limit', reason='plan limit, resets 2026-01-01 00:00 UTC', wait=7200.0)
    >>> read_agent_text("12:00:01 ERROR Rate limit from agent: You've hit your limit", now=0.0).reason
    'plan limit'
    >>> read_agent_text("The answer is 429.", now=0.0) is None
    True

    Args:
        text: the output.
        now: the present, in seconds since 1970.
        tz: the time zone of clock times that name none.
    """
    if (found := _from_events(text, now, tz)) is not None:
        return found
    lines = log_lines(text)
    for number, line in enumerate(lines):
        for verdict, name, pattern in _KNOWN:
            if (start := message_start(pattern, line)) is not None and not is_quoted(lines, number, start):
                message = [line[start:], " ".join(lines[number : number + _WHOLE_LINES])]
                return _limit(verdict, name, message, now, tz)
    return None


def is_only_a_limit(text: str) -> bool:
    """Whether a text is a limit message and nothing else.

    An agent that was limited may end with exit code 0 and print the message in place of the
    answer. An answer about limits has more text.

    >>> is_only_a_limit("You've hit your limit · resets 4pm")
    True
    >>> is_only_a_limit("It means: You've hit your limit · resets 4pm")
    False
    """
    lines = [line.strip() for line in plain(text).splitlines() if line.strip()]
    if not 0 < len(lines) <= _WHOLE_LINES or len(lines[0]) > _LONGEST_MESSAGE or says_more(lines[1:]):
        return False
    return bool(_ANSWERS.match(lines[0]))


def _limit(verdict: Verdict, name: str, message: Sequence[str], now: float, tz: tzinfo) -> AgentLimit:
    """A limit, with the wait or the reset that its sentence or the lines after it state."""
    for text in message:
        if (wait := wait_in_words(text)) is not None:
            return AgentLimit(verdict, _with_reset(name, wait, now, tz), wait)
        if (resets := reset_in_words(text, now=now, tz=tz)) is not None:
            return _until(verdict, name, resets, now, tz)
    return AgentLimit(verdict, name)


def _until(verdict: Verdict, name: str, resets: datetime | None, now: float, tz: tzinfo) -> AgentLimit:
    """A limit that resets at an instant, if that is known."""
    wait = None if resets is None else UntilInstant(max(0.0, resets.timestamp() - now))
    return AgentLimit(verdict, _with_reset(name, wait, now, tz), wait, resets)


def wait_in_words(text: str) -> float | None:
    """The seconds in a sentence such as `Please try again in 1.798s`, or `None`.

    >>> wait_in_words("Please retry after 7 seconds."), wait_in_words("try again in 9m38.016s.")
    (7.0, 578.016)
    """
    found = _RETRY_AFTER.search(text)
    return None if found is None else seconds_of(found[1].strip().rstrip("."))


def reset_in_words(text: str, *, now: float, tz: tzinfo = UTC) -> datetime | None:
    """When a limit resets, in a sentence such as `Your limit resets 4pm`, or `None`.

    >>> reset_in_words("Your limit resets 4pm (UTC)", now=1_767_225_600).isoformat()
    '2026-01-01T16:00:00+00:00'
    """
    when = _WHEN.search(text)
    return None if when is None else reset_moment(when[1] or when[2], now=now, tz=tz)


def _with_reset(name: str, wait: float | None, now: float, tz: tzinfo) -> str:
    return name if wait is None else f"{name}{RESETS}{clock_text(now + wait, tz)}"


def _from_events(text: str, now: float, tz: tzinfo) -> AgentLimit | None:
    """The limit in the last `rate_limit_event` of a stream of JSON lines, if it rejects the request."""
    last: Mapping[str, Any] | None = None
    for line in text.splitlines():
        event = json_object(line) if line.startswith("{") else None
        if event is not None and event.get("type") == "rate_limit_event":
            info = event.get("rate_limit_info")
            last = info if isinstance(info, Mapping) else None
    if last is None or last.get("status") != "rejected":
        return None
    at = last.get("resetsAt")
    instant = None if isinstance(at, str) else finite(at)
    resets = None if instant is None else moment(as_epoch(instant), tz)
    return _until("limit", f"plan limit ({last.get('rateLimitType', 'unknown')})", resets, now, tz)
