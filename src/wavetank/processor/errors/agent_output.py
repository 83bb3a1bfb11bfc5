"""Classifies how a command-line agent ended: by its exit code, output and result file."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, tzinfo
from typing import Any, Final, final

from .agent_messages import AgentLimit, Verdict, is_only_a_limit, read_agent_text
from .json_object import json_object
from .request_failure import Failure, FailureKind

_KINDS: Final[Mapping[Verdict, FailureKind]] = {
    "limit": "rate-limited",
    "throttle": "rate-limited",
    "overload": "rate-limited",
    "terminal": "terminal",
}

_ERROR_KEYS: Final = ("stderr", "error", "error_message", "message")
"""Where result files describe an error; the first that is not empty is read."""


@final
class AgentFailed(RuntimeError):
    """A command-line agent ended without an answer; `classify` reads its exit code and output."""

    def __init__(self, returncode: int, stdout: str = "", stderr: str = "") -> None:
        last = (stderr.strip() or stdout.strip()).splitlines()[-1:] or ["it printed nothing"]
        super().__init__(f"the agent ended with exit code {returncode}: {last[0][:200]}")
        self.returncode = returncode
        self.stdout = stdout
        self.stderr = stderr


def classify_output(
    returncode: int, stdout: str = "", stderr: str = "", *, now: float, tz: tzinfo = UTC
) -> Failure | None:
    """Classify how an agent ended; `None` if it succeeded.

    An agent that failed is classified by what it printed. One that ended with exit code 0 has
    an answer, and the words of an answer decide nothing. It was limited only if the limit
    message is the whole answer, or if a result event says that it is an error.

    >>> classify_output(1, stderr="API Error: Request rejected (429) · try later", now=0.0).kind
    'rate-limited'
    >>> classify_output(0, "Status 429 means: too many requests.", now=0.0) is None
    True

    Args:
        returncode: the exit code.
        stdout: the standard output.
        stderr: the standard error.
        now: the present, in seconds since 1970.
        tz: the time zone of clock times that name none.
    """
    error = AgentFailed(returncode, stdout, stderr)
    answer, failed = _answer(stdout)
    is_error = failed or is_only_a_limit(answer)
    if returncode == 0 and not is_error:
        return None
    places = (
        ("stderr", stderr if returncode else ""),
        ("answer", answer if is_error else ""),
        ("stdout", stdout),
    )
    for place, text in places:
        if (limit := read_agent_text(text, now=now, tz=tz)) is not None:
            return _failure(error, limit, f"{place}, exit code {returncode}")
    return Failure("transient", error, f"exit code {returncode}")


def classify_result(text: str, *, now: float, tz: tzinfo = UTC) -> Failure | None:
    """Classify the result file of a run: JSON with an exit code and output, or a result; `None` for success.

    >>> classify_result('{"exit_code": 1, "stderr": "Credit balance is too low"}', now=0.0).reason
    'credit balance too low'

    Args:
        text: the file's content.
        now: the present, in seconds since 1970.
        tz: the time zone of clock times that name none.
    """
    result = json_object(text)
    if result is None:
        return Failure("transient", AgentFailed(1, text), "a result file that cannot be read")
    code = _code(result)
    stdout = str(result.get("stdout") or result.get("output") or "")
    if isinstance(code, int):
        stderr = str(next((result[key] for key in _ERROR_KEYS if result.get(key)), ""))
        return classify_output(code, stdout, stderr, now=now, tz=tz)
    return classify_output(0, text, now=now, tz=tz)


def states_end(text: str) -> bool:
    """Whether a file says how a run ended: by an exit code, a result, or that it is an error.

    >>> states_end('{"exit_code": 0}'), states_end('{"seconds": 3}')
    (True, False)
    """
    result = json_object(text)
    if result is None:
        return False
    return isinstance(_code(result), int) or "result" in result or "is_error" in result


def _code(result: Mapping[str, Any]) -> object:
    return next((result[key] for key in ("exit_code", "returncode", "exitCode") if key in result), None)


def _failure(error: AgentFailed, limit: AgentLimit, source: str) -> Failure:
    return Failure(
        _KINDS[limit.verdict],
        error,
        limit.reason,
        limit.wait,
        closes=limit.verdict == "terminal",
        source=source,
        resets=limit.resets,
    )


def _answer(stdout: str) -> tuple[str, bool]:
    """The answer in the standard output, and whether it is marked as an error."""
    for line in reversed(stdout.strip().splitlines() or [""]):
        event = json_object(line) if line.startswith("{") else None
        if event is not None and ("result" in event or event.get("type") == "result"):
            return str(event.get("result") or ""), bool(event.get("is_error"))
    return stdout, False
