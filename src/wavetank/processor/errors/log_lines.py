"""Tells a message in a program's output from one that a longer text quotes, whatever logs put before it."""

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
# What a model says in a stream of JSON; its words are no log.
_MODEL_TYPES: Final = frozenset({"assistant", "user", "message", "result", "stream_event", "text"})

# The last is how glog and klog write a level, with month and day.
_LEVEL: Final = (
    r"(?:trace|debug|info|notice|warn(?:ing)?|err(?:or)?|crit(?:ical)?|fatal|severe|panic|[iwef]\d{4})\b"
)
_TIME: Final = r"\d[\dT:.,/+\-]*Z?(?=\s|$|[^\w])"
_BRACKETS: Final = r"\[[^\]]{0,80}\]|\([^)]{0,80}\)|<[^>]{0,80}>"
_LOGGED: Final = re.compile(rf"\W{{0,3}}(?:{_LEVEL}|{_TIME}|{_BRACKETS})", re.IGNORECASE)
_DASHES: Final = r"\-|>\u2013\u2014\u00bb\u203a\u2192"
# A name, a place or a few words before a colon, a bar, a dash or as `npm ERR!`: no quotation mark, and no
# end of a sentence before that.
_LABEL: Final = rf"""(?:(?![.!?]\s)[^:"'`\u201c\u201d\n]){{1,60}}?(?::|!\s|\s[{_DASHES}]\s)\s*"""
# In this order, each as often as it comes, up to the message.
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
"""Such as a host's name; only in a line that begins as a line of a log does."""
_MOST_BARE_WORDS: Final = 2
_LONGEST_PREFIX: Final = 240

# What may stand behind a message that has something before it: its own end, or its own next words.
_TAIL: Final = re.compile(r"\s*(?:$|[^\w\s])|\s+(?:for|too many|detected)\b", re.IGNORECASE)
_CONTINUES: Final = re.compile(r"resets?\b|try again|retry|^/\w|\blimits?\b", re.IGNORECASE)
_ABOUT_FAILURE: Final = re.compile(
    r"error|limit|fail|exception|fatal|warn|abort|exit(?:ed|ing)?\b|terminated|killed", re.IGNORECASE
)
_TRACEBACK: Final = re.compile(r"(?:Traceback|File|at|raise|During|The above exception)\b")
_WORDS_OF_A_SENTENCE: Final = 4
_WORDS_OF_A_LINE: Final = 9
_FEW: Final = 2
"""From so many lines of prose on a text is an answer, and no message with a word around it."""


def plain(text: str) -> str:
    """A text without the colours of a terminal and with ordinary spaces."""
    return _ANSI.sub("", text).replace("\u202f", " ").replace("\u00a0", " ")


def log_lines(text: str) -> list[str]:
    """The lines of an output, those of JSON logs by their text; a line that a model says in JSON is left out.

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
    """Where a message begins in a line, if nothing but what logs put there stands before it."""
    for found in message.finditer(line):
        start = found.start()
        if not start or (_is_prefix(line, start) and _TAIL.match(line, found.end())):
            return start
    return None


def is_quoted(lines: Sequence[str], number: int, start: int) -> bool:
    """Whether a message is part of a longer answer: it is introduced, in a code block, or followed by more.

    A program that meets a limit ends with the message; lines of logs and single short lines
    around it are none of an answer.

    Args:
        lines: what was printed.
        number: which of the lines has the message.
        start: where in the line it begins.
    """
    if sum(line.startswith("```") for line in lines[:number]) % 2:
        return True
    after = says_more(lines[number + 1 :])
    before = sum(map(_is_prose, lines[:number]))
    introduced = _introduces(lines[number][:start])
    return before + after + introduced >= _FEW and (after > 0 or (introduced and before >= _FEW))


def says_more(lines: Sequence[str]) -> int:
    """How many lines of prose there are that do not go on about the limit."""
    return sum(_is_prose(line) and not _CONTINUES.search(line) for line in lines)


def _is_prefix(line: str, end: int) -> bool:
    """Whether a line begins, up to there, with pieces that logs and programs put before a message."""
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
    """Whether words lead to a message, as in `The CLI prints:`; `Rate limit from agent:` is a label."""
    words = len(prefix.split())
    return words > 1 and not (_LOGGED.match(prefix) or _ABOUT_FAILURE.search(prefix))


def _is_prose(line: str) -> bool:
    words = len(line.split())
    if words < _WORDS_OF_A_SENTENCE or _LOGGED.match(line) or _TRACEBACK.match(line):
        return False
    ends = line.rstrip("*_`\"'”)").endswith((".", "!", "?", ":"))
    return (ends or words >= _WORDS_OF_A_LINE) and not _ABOUT_FAILURE.match(line.partition(" ")[0])


def _logged(event: Mapping[str, Any]) -> Iterator[str]:
    """The lines of what a log says in JSON, with its level before them."""
    item = event.get("item")
    if isinstance(item, Mapping) and item.get("type") == "error":
        event = item
    if "role" in event or str(event.get("type")) in _MODEL_TYPES:
        return
    level = str(event.get("level") or event.get("type") or event.get("severity") or "error")
    for name in _FIELDS:
        said = event.get(name)
        said = said.get("message") if isinstance(said, Mapping) else said
        if isinstance(said, str):
            yield from (f"{level}: {line.strip()}" for line in said.splitlines())


def _parsed(text: str) -> Mapping[str, Any] | None:
    """The object that a text is, in JSON or as Python prints one."""
    try:
        found = ast.literal_eval(text) if text.startswith("{'") else json.loads(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return None
    return found if isinstance(found, Mapping) else None
