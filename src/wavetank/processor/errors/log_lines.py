"""Finds a program's message in its output, behind what logs put before it, unless a longer text quotes it."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

# Colours and links of a terminal: CSI and OSC sequences of ECMA-48.
_ANSI: Final = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[@-Z\\-_])")
# Where loggers and agents put their text: Python's JSON formatters, structlog, pino, winston, Docker, Codex.
_FIELDS: Final = ("message", "msg", "log", "error", "err", "event", "detail", "stderr")
# The events of a model's own text in a stream of JSON; they are no log.
_MODEL_TYPES: Final = frozenset({"assistant", "user", "message", "result", "stream_event", "text"})

# The last is how glog and klog write a level, with month and day.
_LEVEL: Final = (
    r"(?:trace|debug|info|notice|warn(?:ing)?|err(?:or)?|crit(?:ical)?|fatal|severe|panic|[iwef]\d{4})\b"
)
_TIME: Final = r"\d[\dT:.,/+\-]*Z?(?=\s|$|[^\w])"
_BRACKETS: Final = r"\[[^\]]{0,80}\]|\([^)]{0,80}\)|<[^>]{0,80}>"
_LOGGED: Final = re.compile(rf"\W{{0,3}}(?:{_LEVEL}|{_TIME}|{_BRACKETS})", re.IGNORECASE)
_DASHES: Final = r"\-|>\u2013\u2014\u00bb\u203a\u2192"
# A name, a place or a few words before a colon, a bar, a dash or as in `npm ERR!`, without a quotation
# mark and without the end of a sentence.
_LABEL: Final = rf"""(?:(?![.!?]\s)[^:"'`\u201c\u201d\n]){{1,60}}?(?::|!\s|\s[{_DASHES}]\s)\s*"""
# What may come before a message; they are tried in this order, and each may repeat.
_PIECES: Final = tuple(
    re.compile(piece, re.IGNORECASE)
    for piece in (
        r"\s+",
        _BRACKETS,
        _TIME,
        _LEVEL,
        r"(?:mon|tue|wed|thu|fri|sat|sun|jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)\w*,?\s|(?:utc|[ap]m)\b",
        r'[\w.]+=(?:"[^"]*"|[^\s"]+)(?=\s)|[\w.]+="?',
        r"""\w*(?:Error|Exception|Failed)\(["']?""",
        rf'"(?:{"|".join(_FIELDS)})"\s*:\s*"',
        _LABEL,
        r"""[^\w\s"'`\u201c\u201d\u2018(\[{<]+|[\[(]""",
    )
)
_BARE_WORD: Final = re.compile(r"[\w./@\-]+\s")
"""Such as a host's name; only in a line that begins like a line of a log."""
_MOST_BARE_WORDS: Final = 2
"""Syslog has two: the host and the program."""
_LONGEST_PREFIX: Final = 240
"""In characters; bounds the time that a very long line takes."""

# What may follow a message that has a prefix: its end, or its own next words.
_TAIL: Final = re.compile(r"\s*(?:$|[^\w\s])|\s+(?:for|too many|detected)\b", re.IGNORECASE)
_CONTINUES: Final = re.compile(r"resets?\b|try again|retry|^/\w|\blimits?\b", re.IGNORECASE)
_ABOUT_FAILURE: Final = re.compile(
    r"error|limit|fail|exception|fatal|warn|abort|exit(?:ed|ing)?\b|terminated|killed", re.IGNORECASE
)
_TRACEBACK: Final = re.compile(r"(?:Traceback|File|at|raise|During|The above exception)\b")
_WORDS_OF_A_SENTENCE: Final = 4
"""A line with fewer words is a status such as `Done.`, and no prose."""
_WORDS_OF_A_LINE: Final = 9
"""A line with this many words is prose even if it does not end like a sentence."""
_PROSE_LINES_OF_AN_ANSWER: Final = 2
"""A text with this many lines of prose is an answer."""


def plain(text: str) -> str:
    """A text without the colours of a terminal and with ordinary spaces."""
    return _ANSI.sub("", text).replace("\u202f", " ").replace("\u00a0", " ")


def log_lines(text: str) -> list[str]:
    """The lines of an output, those of JSON logs as plain text; a model's own text in JSON is left out.

    >>> log_lines('{"level": "error", "msg": "no route"}\\n\\x1b[31mdone\\x1b[0m')
    ['error: no route', 'done']
    """
    text = plain(text).strip()
    whole = _parsed(text) if text.startswith("{") else None
    if whole is not None:
        return list(_logged(whole))
    lines: list[str] = []
    for line in text.splitlines():
        event = _parsed(line) if line.startswith("{") else None
        lines += [line.strip()] if event is None else _logged(event)
    return lines


def message_start(message: re.Pattern[str], line: str) -> int | None:
    """Where a message begins in a line, if nothing is before it but what logs put there."""
    for found in message.finditer(line):
        start = found.start()
        if not start or (_is_prefix(line, start) and _TAIL.match(line, found.end())):
            return start
    return None


def is_quoted(lines: Sequence[str], number: int, start: int) -> bool:
    """Whether a message is quoted in a longer answer: introduced, in a code block, or followed by prose.

    A program that meets a limit ends with the message. Lines of logs and single short lines
    around it are no answer.

    Args:
        lines: the output.
        number: the index of the line with the message.
        start: where in the line it begins.
    """
    if sum(line.startswith("```") for line in lines[:number]) % 2:
        return True
    after = says_more(lines[number + 1 :])
    before = sum(map(_is_prose, lines[:number]))
    introduced = _introduces(lines[number][:start])
    few = _PROSE_LINES_OF_AN_ANSWER
    return before + after + introduced >= few and (after > 0 or (introduced and before >= few))


def says_more(lines: Sequence[str]) -> int:
    """How many lines of prose there are that do not continue the message of a limit."""
    return sum(_is_prose(line) and not _CONTINUES.search(line) for line in lines)


def _is_prefix(line: str, end: int) -> bool:
    """Whether the line up to `end` consists of pieces that logs and programs put before a message."""
    at, bare = 0, _MOST_BARE_WORDS if _LOGGED.match(line) else 0
    while at < end <= _LONGEST_PREFIX:
        found = next((match for piece in _PIECES if (match := piece.match(line, at, end))), None)
        if found is None and bare:
            found, bare = _BARE_WORD.match(line, at, end), bare - 1
        if found is None or found.end() == at:
            return False
        at = found.end()
    return at == end


def _introduces(prefix: str) -> bool:
    """Whether words introduce a message, as in `The CLI prints:`; `Rate limit from agent:` is a label."""
    words = len(prefix.split())
    return words > 1 and not (_LOGGED.match(prefix) or _ABOUT_FAILURE.search(prefix))


def _is_prose(line: str) -> bool:
    words = len(line.split())
    if words < _WORDS_OF_A_SENTENCE or _LOGGED.match(line) or _TRACEBACK.match(line):
        return False
    ends = line.rstrip("*_`\"'”)").endswith((".", "!", "?", ":"))
    return (ends or words >= _WORDS_OF_A_LINE) and not _ABOUT_FAILURE.match(line.partition(" ")[0])


def _logged(event: Mapping[str, Any]) -> Iterator[str]:
    """The lines of an entry of a JSON log, with its level before them."""
    item = event.get("item")
    if isinstance(item, Mapping) and item.get("type") == "error":
        event = item
    if "role" in event or str(event.get("type")) in _MODEL_TYPES:
        return
    level = str(event.get("level") or event.get("type") or event.get("severity") or "error")
    for name in _FIELDS:
        text = event.get(name)
        text = text.get("message") if isinstance(text, Mapping) else text
        if isinstance(text, str):
            yield from (f"{level}: {line.strip()}" for line in text.splitlines())


def _parsed(text: str) -> Mapping[str, Any] | None:
    """The object in a text, written as JSON or as Python prints a dictionary."""
    try:
        found = ast.literal_eval(text) if text.startswith("{'") else json.loads(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return None
    return found if isinstance(found, Mapping) else None
