"""Answers that the real clients cannot read, and for which they have no error of their own."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import anthropic
import httpx
import httpx2
import openai
import pytest

from wavetank.processor import classify

CUT = b'{"id": "a", "choices": [{"mess'
PAGE = b"<html><body>502 Bad Gateway</body></html>"
ASKED: dict[str, Any] = {"model": "m", "max_tokens": 1, "messages": [{"role": "user", "content": "?"}]}


def client(body: bytes, kind: str = "application/json") -> dict[str, Any]:
    """The options of an SDK that gets status 200 and this body for every request."""
    answer = httpx2.Response(200, headers={"content-type": kind}, content=body)
    http_client = httpx2.Client(transport=httpx2.MockTransport(lambda _: answer))
    return {"api_key": "k", "max_retries": 0, "http_client": http_client}


def by_openai(body: bytes) -> None:
    """A plain answer."""
    with openai.OpenAI(**client(body)) as sdk:
        sdk.chat.completions.create(**ASKED)


def streamed_by_openai(body: bytes) -> None:
    """A stream with an event that cannot be read."""
    with openai.OpenAI(**client(b"data: " + body + b"\n\n", "text/event-stream")) as sdk:
        list(sdk.chat.completions.create(**ASKED, stream=True))


def by_anthropic(body: bytes) -> None:
    """A plain answer."""
    with anthropic.Anthropic(**client(body)) as sdk:
        sdk.messages.create(**ASKED)


def streamed_by_anthropic(body: bytes) -> None:
    """A stream without an event."""
    with (
        anthropic.Anthropic(**client(body, "text/event-stream")) as sdk,
        sdk.messages.stream(**ASKED) as events,
    ):
        events.get_final_message()


def by_httpx(body: bytes) -> None:
    """A program without an SDK."""
    httpx.Response(200, content=body).json()


def by_a_wrapper(body: bytes) -> None:
    """An error of its own, raised from that of the parser, as pydantic-ai and google-genai have."""
    try:
        by_httpx(body)
    except ValueError as error:
        raise RuntimeError("failed to decode the response") from error


def error_of(call: Callable[[], object]) -> Exception:
    """What a call raises."""
    with pytest.raises(Exception) as caught:  # noqa: PT011
        call()
    return caught.value


@pytest.mark.parametrize("body", [CUT, PAGE, b""], ids=["cut", "page", "empty"])
@pytest.mark.parametrize(
    "program",
    [by_openai, streamed_by_openai, by_anthropic, streamed_by_anthropic, by_httpx, by_a_wrapper],
)
def test_an_answer_that_a_client_cannot_read_is_worth_another_try(
    program: Callable[[bytes], None], body: bytes
) -> None:
    """Most raise the error of the JSON parser, and anthropic's stream fails an assertion of its own."""
    failure = classify(error_of(lambda: program(body)))
    assert (failure.kind, failure.may_be_outage) == ("transient", True)


def test_an_answer_that_a_program_cannot_use_is_an_error_of_its_item() -> None:
    """The same errors in the code of a program may be about the text of an answer, or a bug."""

    def parsed() -> None:
        json.loads("Sure! Here is the label:")

    def asserted() -> None:
        raise AssertionError("no label")

    def after_another() -> None:
        with suppress(ValueError):
            by_httpx(CUT)
        raise ValueError("no such row")

    for call in (parsed, asserted, after_another):
        assert classify(error_of(call)).kind == "terminal"
    # One that was never raised, or that came from another process without its traceback.
    assert classify(json.JSONDecodeError("Expecting value", "", 0)).kind == "terminal"
