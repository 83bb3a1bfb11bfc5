"""A limit in a failed command's output is found behind any log's prefix, and not in what an answer quotes."""

from __future__ import annotations

import json
import subprocess

import pytest

from wavetank.processor import AgentFailed, classify, classify_output, classify_result
from wavetank.processor.errors.log_lines import log_lines

NOW = 1_767_218_400.0
LIMIT = "You've hit your limit · resets 4pm (America/Los_Angeles)"
SEED = f"Rate limit from agent: {LIMIT}"

LOGGED = [
    SEED,
    f"Error: {LIMIT}",
    f"2026-01-10 12:00:00 ERROR {LIMIT}",
    f"2026-01-10 12:00:00,123 - agent.runner - ERROR - {SEED}",
    f"2026-01-10T12:00:00.123Z agent-1 ERROR {LIMIT}",
    f"2026-01-10 12:00:00.123 | ERROR    | __main__:main:10 - {SEED}",
    f"12:00:00.123 [main] ERROR c.e.Agent - {LIMIT}",
    f"Jan 10 12:00:00 host agent[123]: {LIMIT}",
    f"[2026-01-10 12:00:00] [error] [pid 7] {LIMIT}",
    f"ERROR:root:{SEED}",
    f"agent-1  | {LIMIT}",
    f"\x1b[31m✗ {LIMIT}\x1b[0m",
    f"\x1b[1m\x1b[31mERROR\x1b[39m\x1b[22m {LIMIT}",
    f"⚠️  {LIMIT}",
    f"  ⎿  {LIMIT}",
    f"scylla.errors.RateLimitError: {SEED}",
    f"(agent 3) Error from worker: agent failed: {LIMIT}",
    f'ERROR agent failed: RuntimeError("{SEED}")',
    f'time=2026-01-10T12:00:00Z level=error msg="{SEED}" item=7',
    f"npm ERR! {LIMIT}",
    f"Rate limited! {LIMIT}",
    f"W1130 22:25:01.123456 worker-7 attempt=2 {LIMIT}",
    f'AgentError(exit_code=-1, stderr="{SEED}")',
    repr({"exit_code": -1, "stdout": "", "stderr": SEED}),
    json.dumps({"level": "error", "msg": SEED, "time": 1}),
    json.dumps({"event": SEED, "level": "error"}, ensure_ascii=False),
    json.dumps({"type": "turn.failed", "error": {"message": LIMIT}}),
    json.dumps({"error": {"type": "FatalError", "message": SEED}}, indent=2),
    json.dumps({"type": "item.completed", "item": {"type": "error", "message": LIMIT}}),
    f"Traceback (most recent call last):\n  File 'a.py', line 3, in main\n    run()\nLimited: {SEED}",
    f"I will look at the files first.\nThen I change what has to be changed.\n{LIMIT}",
    f"{SEED}\n2026-01-10 12:00:00 INFO The agent has ended and its folder was removed.",
    f"{SEED}\nCleaning up.\nProcess exited with code 1",
]


@pytest.mark.parametrize("text", LOGGED)
@pytest.mark.parametrize("code", [-1, 1, 255])
def test_no_prefix_of_a_log_hides_a_limit(text: str, code: int) -> None:
    """On either stream, in a result file, and in what `subprocess` and a strategy raise."""
    for failure in (
        classify_output(code, text, now=NOW),
        classify_output(code, "", f"starting\n{text}\n", now=NOW),
        classify_result(json.dumps({"exit_code": code, "stderr": text}), now=NOW),
        classify(AgentFailed(code, "", text), now=NOW),
        classify(subprocess.CalledProcessError(code, ["agent"], None, text), now=NOW),
        classify(subprocess.CalledProcessError(code, ["agent"], text.encode(), b""), now=NOW),
    ):
        assert failure is not None
        assert (failure.kind, failure.retry_after_seconds) == ("rate-limited", 7200)
        assert failure.resets is not None
        assert f"{failure.resets:%H:%M %Z}" == "16:00 PST"


@pytest.mark.parametrize("key", ["stderr", "error", "error_message", "message"])
def test_a_result_file_says_under_one_of_several_names_what_went_wrong(key: str) -> None:
    """The first that says something counts; other keys are not read."""
    failure = classify_result(json.dumps({"exit_code": -1, "stdout": "", key: SEED}), now=NOW)
    other = classify_result(json.dumps({"exit_code": -1, "task": SEED, key: "segmentation fault"}), now=NOW)
    assert failure is not None
    assert other is not None
    assert (failure.kind, other.kind) == ("rate-limited", "transient")


QUOTED = [
    f"Here is what I found.\nThe CLI prints: {LIMIT}\nThat means you must wait.",
    f"The CLI prints: {LIMIT}\nSo the client has to wait until four.",
    f"I read the logs of the tool.\nThey speak of limits in three places.\nThe first one says: {LIMIT}",
    f"The message is this one:\n\n    {LIMIT}\n\nIt names the reset in local time.\nI added a test for it.",
    f"The message is this:\n```\n{SEED}\n```",
    f"A line such as `{LIMIT}` is printed.",
    f'The agent said "{LIMIT}" and ended.',
    f"I saw that it printed {LIMIT}",
    f"When it says: {LIMIT.partition(' ·')[0]} means that you have to wait.",
    json.dumps({"type": "assistant", "message": SEED}),
    json.dumps({"type": "message", "role": "assistant", "content": LIMIT, "message": LIMIT}),
    json.dumps({"type": "result", "is_error": False, "result": f"It says: {LIMIT}"}),
    "You\u2019ve hit your stride; no limit was met.",
    "x" * 300 + f": {LIMIT}",
]


@pytest.mark.parametrize("text", QUOTED)
def test_what_a_longer_answer_quotes_is_no_limit(text: str) -> None:
    """A command that failed for another reason, whose answer speaks of limits, may be tried again."""
    failure = classify_output(1, text, "segmentation fault", now=NOW)
    assert failure is not None
    assert (failure.kind, failure.reason) == ("transient", "exit code 1")


@pytest.mark.parametrize("text", [*LOGGED[1:10], *QUOTED])
def test_the_output_of_a_command_that_ended_well_never_counts(text: str) -> None:
    """Neither what it printed as its answer nor what it wrote beside it, unless a message is all there is."""
    answer = f"{text}\nThat is what the log says, and this is my answer to it."
    assert classify_output(0, answer, text, now=NOW) is None
    assert classify_result(json.dumps({"exit_code": 0, "stdout": answer, "stderr": text}), now=NOW) is None


def test_lines_of_json_logs_are_their_text() -> None:
    """With their level; what is no log of JSON stays as it is, and torn JSON, too."""
    text = '{"severity": "ERROR", "message": "one\\ntwo"}\n{torn\n[1]\n{"role": "user", "message": "three"}'
    assert log_lines(text) == ["ERROR: one", "ERROR: two", "{torn", "[1]"]
    assert log_lines("") == []


def test_a_long_line_without_a_message_takes_no_time() -> None:
    """The pieces of a prefix are taken one after the other, never tried in all their splittings."""
    line = "a: [b] - 12:00 | " * 4000 + LIMIT
    assert classify_output(1, line, now=NOW).kind == "transient"  # type: ignore[union-attr]
