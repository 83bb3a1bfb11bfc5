"""What command-line agents print, how they end, and when a limit resets."""

from __future__ import annotations

import json
import subprocess
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from wavetank.processor import AgentFailed, classify, classify_output, classify_result
from wavetank.processor.errors.agent_messages import read_agent_text
from wavetank.processor.errors.reset_times import reset_instant, seconds_of

# A Saturday.
NOW = datetime(2026, 11, 21, 20, 0, tzinfo=UTC)
EPOCH = NOW.timestamp()
BERLIN = ZoneInfo("Europe/Berlin")


def at(*when: int, zone: str = "UTC") -> float:
    """An instant as seconds since 1970."""
    year, month, day, hour, minute = when
    return datetime(year, month, day, hour, minute, tzinfo=ZoneInfo(zone)).timestamp()


RESETS = [
    ("You've hit your session limit · resets 11:45pm", at(2026, 11, 21, 23, 45, zone="Europe/Berlin")),
    ("You've hit your session limit · resets 3:45pm", at(2026, 11, 22, 15, 45, zone="Europe/Berlin")),
    ("You've hit your weekly limit · resets Mon 12:00am", at(2026, 11, 23, 0, 0, zone="Europe/Berlin")),
    ("You've hit your weekly limit · resets Sat 3pm", at(2026, 11, 28, 15, 0, zone="Europe/Berlin")),
    ("You've hit your Opus limit · resets 3:45pm", at(2026, 11, 22, 15, 45, zone="Europe/Berlin")),
    ("You\u2019ve hit your limit · resets 4pm (America/Los_Angeles)", at(2026, 11, 22, 0, 0)),
    (
        "You've hit your weekly limit · resets Sep 21, 6pm (America/Toronto)",
        at(2027, 9, 21, 18, 0, zone="America/Toronto"),
    ),
    (
        "You've hit your session limit · resets 8:20pm (Asia/Singapore)",
        at(2026, 11, 22, 20, 20, zone="Asia/Singapore"),
    ),
    ("Claude AI usage limit reached|1795300000", 1_795_300_000.0),
    ("Claude usage limit reached. Your limit will reset at 1pm (Etc/GMT+5).", at(2026, 11, 22, 18, 0)),
    ("spend limit reached (daily; resets 2026-11-22 00:00 UTC)", at(2026, 11, 22, 0, 0)),
    (
        "You've hit your usage limit. Upgrade to Pro (https://chatgpt.com/explore/pro), visit "
        "https://chatgpt.com/codex/settings/usage to purchase more credits or try again at 10:45 PM.",
        at(2026, 11, 21, 22, 45, zone="Europe/Berlin"),
    ),
    (
        "You've hit your usage limit. Upgrade to Plus to continue using Codex "
        "(https://chatgpt.com/explore/plus), or try again at Nov 22nd, 2026 3:45 PM.",
        at(2026, 11, 22, 15, 45, zone="Europe/Berlin"),
    ),
    (
        "You've hit your usage limit for gpt-5. Switch to another model now, or try again at 3:45 PM.",
        at(2026, 11, 22, 15, 45, zone="Europe/Berlin"),
    ),
    (
        "Usage limit reached for gemini-2.5-pro.\nAccess resets at 1:05\u202fPM PST.\n/stats model for usage",
        at(2026, 11, 21, 21, 5),
    ),
    ("Usage limit reached for gemini-2.5-pro.\nAccess resets at 10:05 PM GMT+1.", at(2026, 11, 21, 21, 5)),
    (
        "We are currently experiencing high demand for gemini.\nSuggested retry after 26s.",
        EPOCH + 26,
    ),
]


@pytest.mark.parametrize(("text", "instant"), RESETS)
def test_an_agents_message_says_when_the_limit_resets(text: str, instant: float) -> None:
    """Every form of reset is read with the present and the local zone that are handed in."""
    limit = read_agent_text(text, now=EPOCH, tz=BERLIN)
    assert limit is not None
    assert limit.wait == pytest.approx(instant - EPOCH)
    assert "resets 20" in limit.reason


@pytest.mark.parametrize(
    ("text", "kind", "reason"),
    [
        ("You've hit your usage limit. Try again later.", "rate-limited", "plan limit"),
        (
            "API Error: Server is temporarily limiting requests (not your usage limit) · Rate limited",
            "rate-limited",
            "throttled",
        ),
        (
            "API Error: Request rejected (429) · this may be a temporary capacity issue.",
            "rate-limited",
            "throttled",
        ),
        (
            "API Error: Repeated 529 Overloaded errors. The API is at capacity - try later",
            "rate-limited",
            "overloaded",
        ),
        (
            "exceeded retry limit, last status: 429 Too Many Requests, request id: 1",
            "rate-limited",
            "throttled",
        ),
        (
            "Selected model is at capacity. Please try a different model.",
            "rate-limited",
            "overloaded",
        ),
        (
            "[API Error: quota]\nPossible quota limitations in place or slow response times detected.",
            "rate-limited",
            "throttled",
        ),
        ("Credit balance is too low", "terminal", "credit balance too low"),
        ("Quota exceeded. Check your plan and billing details.", "terminal", "quota"),
        ("You have exhausted your daily quota on this model.", "terminal", "daily quota"),
    ],
)
@pytest.mark.parametrize("stream", ["stdout", "stderr"])
def test_a_message_without_a_time(text: str, kind: str, reason: str, stream: str) -> None:
    """Its kind and reason are found in either stream of an agent that failed."""
    failure = classify_output(1, **{stream: f"starting\n{text}\n"}, now=EPOCH, tz=BERLIN)
    assert failure is not None
    assert (failure.kind, failure.reason) == (kind, reason)
    assert failure.closes == (kind == "terminal")
    assert failure.retry_after_seconds is None


def event(**info: object) -> str:
    """A line of a JSON stream about the rate limit."""
    return json.dumps({"type": "rate_limit_event", "rate_limit_info": info})


def test_a_structured_event_comes_before_the_words() -> None:
    """Its instant is in seconds since 1970, and an event that allows says nothing."""
    rejected = event(status="rejected", resetsAt=EPOCH + 900, rateLimitType="five_hour")
    text = f"{rejected}\nYou've hit your limit · resets 4pm"
    limit = read_agent_text(text, now=EPOCH, tz=BERLIN)
    assert limit is not None
    assert (limit.reason, limit.wait) == ("plan limit (five_hour), resets 2026-11-21 21:15 CET", 900)
    assert read_agent_text(event(status="allowed_warning", resetsAt=EPOCH), now=EPOCH) is None
    assert read_agent_text('{"type": "rate_limit_event"}\n{torn', now=EPOCH) is None


@pytest.mark.parametrize(
    "answer",
    [
        "429 means too many requests; it is a quota.",
        "The agent printed: You've hit your limit · resets 4pm (America/Los_Angeles)",
        "You've hit your limit · resets 4pm\n" + "is what it says.\n" * 3,
        "Rate limit exceeded is an error.",
        "",
    ],
)
def test_the_words_of_a_good_answer_decide_nothing(answer: str) -> None:
    """An agent that ended well has answered, whatever its answer speaks of."""
    assert classify_output(0, answer, now=EPOCH) is None
    result = json.dumps({"type": "result", "is_error": False, "result": answer})
    assert classify_output(0, result, "429 quota", now=EPOCH) is None
    assert classify_result(result, now=EPOCH) is None


@pytest.mark.parametrize("code", [0, 1])
def test_a_limit_in_the_shape_of_an_answer_is_found(code: int) -> None:
    """Where the limit message is all there is, or the result is marked as an error, the agent was limited.

    Its exit code may say so, too.
    """
    text = "You've hit your limit · resets 4pm (America/Los_Angeles)"
    for stdout in (
        text,
        json.dumps({"type": "result", "is_error": False, "result": text}),
        json.dumps({"type": "result", "is_error": True, "result": f"API Error: {text}"}),
    ):
        failure = classify_output(code, stdout, now=EPOCH)
        assert failure is not None
        assert (failure.kind, failure.retry_after_seconds) == ("rate-limited", 4 * 3600)
    words = json.dumps({"type": "result", "is_error": False, "result": f"It says: {text}"})
    assert (found := classify_output(code, words, now=EPOCH)) is None or found.kind == "transient"


def test_an_agent_that_fails_without_a_word_may_be_tried_again() -> None:
    """An exit code without a message is a transient error."""
    failure = classify_output(137, now=EPOCH)
    assert failure is not None
    assert (failure.kind, failure.reason) == ("transient", "exit code 137")
    assert "it printed nothing" in str(failure.error)


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ('{"exit_code": 1, "stdout": "You\'ve hit your limit", "stderr": ""}', "rate-limited"),
        ('{"returncode": 1, "output": "Credit balance is too low"}', "terminal"),
        ('{"exitCode": 0, "stdout": "429"}', None),
        ('{"is_error": true, "result": "Quota exceeded. Check your plan and billing details."}', "terminal"),
        ('{"is_error": true, "result": "no idea"}', "transient"),
        ('{"torn', "transient"),
        ("[1]", "transient"),
    ],
)
def test_result_files(text: str, kind: str | None) -> None:
    """The file of a failed run says how it ended; one that cannot be read may be made again."""
    failure = classify_result(text, now=EPOCH)
    assert (None if failure is None else failure.kind) == kind


def test_classify_reads_exit_code_and_output_of_an_exception() -> None:
    """Also that of `subprocess`, in bytes and text; a raised one is never an answer."""
    text = "You've hit your limit · resets 4pm (America/Los_Angeles)"
    for error in (
        AgentFailed(1, text),
        AgentFailed(0, "", text),
        subprocess.CalledProcessError(1, ["agent"], text.encode()),
        subprocess.CalledProcessError(1, ["agent"], None, text),
    ):
        failure = classify(error, now=EPOCH, tz=BERLIN)
        assert (failure.kind, failure.error) == ("rate-limited", error)
        assert failure.reason == "plan limit, resets 2026-11-22 01:00 CET"
    assert classify(AgentFailed(2)).kind == "transient"
    assert classify(subprocess.TimeoutExpired(["agent"], 5)).kind == "transient"


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("9m38.016s", 578.016), ("1h2m3.5s", 3723.5), ("6m0s", 360.0), ("9ms", 0.009), ("", None), ("1x", None)],
)
def test_durations(text: str, seconds: float | None) -> None:
    """Durations as Go writes them."""
    assert seconds_of(text) == seconds


@pytest.mark.parametrize(
    ("text", "instant"),
    [
        ("4pm (Nowhere/Land)", at(2026, 11, 22, 16, 0, zone="Europe/Berlin")),
        ("9:30 PM GMT+5:30", at(2026, 11, 22, 16, 0)),
        ("2026-11-21T22:00:00+01:00", at(2026, 11, 21, 21, 0)),
        ("2026-13-01 00:00 UTC", None),
        ("Feb 30, 4pm", None),
        ("25:00 pm and more", None),
        ("soon", None),
    ],
)
def test_odd_instants(text: str, instant: float | None) -> None:
    """A zone that is not known is the local one; what is no instant is none."""
    assert reset_instant(text, now=EPOCH, tz=BERLIN) == instant
