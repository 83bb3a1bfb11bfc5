"""`fake_llm.answer`: what a test's own function answers, at every way in, and what becomes of its errors."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import anthropic
import httpx
import httpx2
import openai
import pytest

import wavetank
from wavetank import Answer, Run, Scenario, Tank, Usage, search, simulate
from wavetank.clock import SECOND, Duration
from wavetank.provider.request import Request
from wavetank.scenario import Answers, DurationRange, Latency, Limits, Wave

from ..depth import by_turns

pytestmark = pytest.mark.filterwarnings(r"ignore:Async generator '.*:ResourceWarning")
BACKENDS = pytest.mark.parametrize("backend", ["asyncio", "trio"])
MESSAGES: Any = [{"role": "user", "content": "row-1"}]


async def direct(tank: Tank, **more: Any) -> str:
    return (await tank.fake_llm.call("row-1", item="row-1", **more)).text


async def whole(_: Tank, **more: Any) -> str:
    async with openai.AsyncOpenAI(max_retries=0) as client:
        answer = await client.chat.completions.create(model="m", messages=MESSAGES, **more)
        return answer.choices[0].message.content or ""


async def streamed(_: Tank, **more: Any) -> str:
    async with openai.AsyncOpenAI(max_retries=0) as client:
        chunks = await client.chat.completions.create(model="m", messages=MESSAGES, stream=True, **more)
        return "".join([chunk.choices[0].delta.content or "" async for chunk in chunks])


async def messages(_: Tank, **more: Any) -> str:
    async with anthropic.AsyncAnthropic(max_retries=0) as client:
        answer = await client.messages.create(model="m", messages=MESSAGES, **({"max_tokens": 100} | more))
        return "".join(block.text for block in answer.content if block.type == "text")


async def transport(tank: Tank, **more: Any) -> str:
    async with httpx.AsyncClient(transport=tank.fake_llm.httpx_transport()) as client:
        answer = await client.post(
            "https://api.openai.com/v1/chat/completions",
            headers={"authorization": "Bearer sk-of-some-length"},
            json={"model": "m", "messages": MESSAGES, **more},
        )
        said: str = answer.json()["choices"][0]["message"]["content"]
        return said


WAYS_IN = pytest.mark.parametrize("ask", [direct, whole, streamed, messages, transport])


def run_of(
    ask: Callable[..., Any],
    answer: Any,
    scenario: Scenario | None = None,
    backend: str = "asyncio",
    **more: Any,
) -> Any:
    """A run in which one request is answered by a function; an error of the client is its value."""

    async def main(tank: Tank) -> Any:
        tank.fake_llm.answer = answer
        try:
            return await ask(tank, **more)
        except Exception as error:
            return error

    return simulate(main, scenario=scenario or Scenario(), backend=backend)


def value_of(main: Callable[[Tank], Any]) -> Any:
    """What a program returns where nothing else happens."""
    return simulate(main, scenario=Scenario()).value


# -- what it returns -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        ("A text,\n with  spaces \n", "A text,\n with  spaces \n"),
        ({"label": "bug", "größe": [1, None]}, '{"label": "bug", "größe": [1, null]}'),
        ([1, 2], "[1, 2]"),
        (Answer("said"), "said"),
        (Answer({"a": 1}), '{"a": 1}'),
        ("", ""),
    ],
    ids=["text", "dict", "list", "Answer", "Answer of a dict", "nothing"],
)
@pytest.mark.parametrize("ask", [direct, streamed])
def test_an_answer_comes_to_the_letter(ask: Any, answer: Any, text: str) -> None:
    """Whole and streamed, without a mark."""
    run = run_of(ask, lambda _: answer)
    run.check()
    assert run.value == text


@BACKENDS
@WAYS_IN
def test_every_way_in_has_the_answer(ask: Any, backend: str) -> None:
    """Direct calls, SDKs, whole and streamed, and transports."""
    run = run_of(ask, lambda request: {"item": request.item, "label": "a bug"}, backend=backend)
    run.check()
    assert run.value == '{"item": "row-1", "label": "a bug"}'


def test_none_leaves_the_answer_to_the_scenario() -> None:
    """A function may speak for some requests only."""
    run = run_of(direct, lambda _: None)
    assert run.value == "[wt:row-1] is the item this answer belongs to."


def test_the_function_is_shown_the_request() -> None:
    """With its item, prompt, model and body; the key is a label."""
    seen: list[Request] = []

    def answer(request: Request) -> str:
        seen.append(request)
        return "x"

    run_of(whole, answer, temperature=0.5).check()
    (request,) = seen
    assert (request.item, request.prompt, request.model, request.key) == ("row-1", "row-1", "m", "key-1")
    assert request.payload["temperature"] == 0.5


def test_what_the_function_does_to_the_request_is_not_recorded() -> None:
    """It has a copy of its own."""
    sent: list[Any] = []

    def answer(request: Request) -> None:
        payload: Any = request.payload
        payload["messages"][0].clear()
        payload.clear()

    async def main(tank: Tank) -> None:
        tank.fake_llm.answer = answer
        async with httpx2.AsyncClient() as client:
            body = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}
            url = "https://api.openai.com/v1/chat/completions"
            await client.post(url, json=body, headers={"authorization": "Bearer k"})
        sent.append((tank.fake_llm.requests[0].payload, body))

    wavetank.simulate(main).check()
    ((recorded, body),) = sent
    assert recorded == body


def test_it_is_asked_once_for_each_request_that_no_wave_refuses() -> None:
    """In the order of their arrival; embeddings and other requests that want no text do not ask it."""
    asked: list[int] = []

    def answer(request: Request) -> str:
        asked.append(request.id)
        return "x"

    async def main(tank: Tank) -> None:
        tank.fake_llm.answer = answer
        async with openai.AsyncOpenAI(max_retries=3) as client:
            for _ in range(2):
                await client.chat.completions.create(model="m", messages=MESSAGES)
            await client.embeddings.create(model="m", input="x")

    simulate(main, scenario=Scenario(wave=(Wave(lasts=Duration(SECOND)),)))
    assert asked == [2, 3]


def test_a_forced_tool_is_called_with_a_dict() -> None:
    """The arguments are what the function says; a text that is no object is a text."""
    tool: Any = {"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}}

    async def ask(_: Tank) -> Any:
        async with openai.AsyncOpenAI(max_retries=0) as client:
            more: Any = {"tools": [tool], "tool_choice": "required"}
            answer = await client.chat.completions.create(model="m", messages=MESSAGES, **more)
            return answer.choices[0]

    called = run_of(ask, lambda _: {"city": "Bern"}).value
    assert called.message.tool_calls[0].function.arguments == '{"city": "Bern"}'
    assert called.finish_reason == "tool_calls"
    assert run_of(ask, lambda _: "I will not.").value.message.content == "I will not."


def test_a_schema_leaves_the_answer_as_it_is() -> None:
    """Whether it fulfils the schema is up to the test, which may want to see what happens if not."""
    schema = {"type": "object", "properties": {"label": {"enum": ["bug"]}}, "required": ["label"]}
    form: Any = {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}
    assert run_of(whole, lambda _: {"lable": "bug"}, response_format=form).value == '{"lable": "bug"}'


def test_a_direct_call_has_all_of_it() -> None:
    """Calls, reasoning and why it ended."""
    calls: Any = [{"type": "function", "function": {"name": "look", "arguments": '{"a":1}'}}]

    async def main(tank: Tank) -> Any:
        tank.fake_llm.answer = lambda _: Answer("x y", tool_calls=calls, reasoning="hm", finish="stop")
        return await tank.fake_llm.call("q")

    completion = value_of(main)
    assert wavetank.ToolCall("look", {"a": 1}).arguments == '{"a": 1}'
    assert completion.tool_calls == (wavetank.ToolCall("look", '{"a":1}'),)
    assert (completion.reasoning, completion.finish, completion.text) == ("hm", "stop", "x y")
    assert completion.usage == Usage(1, 4)


@pytest.mark.parametrize(
    ("finish", "said"),
    [("length", "max_tokens"), ("content_filter", "refusal"), ("stop", "end_turn"), (None, "end_turn")],
)
def test_why_it_ends_is_in_the_provider_s_words(finish: Any, said: str) -> None:
    """A pipeline can be shown a refusal, or an answer that was cut."""

    async def ask(_: Tank) -> Any:
        async with anthropic.AsyncAnthropic(max_retries=0) as client:
            return (await client.messages.create(model="m", messages=MESSAGES, max_tokens=9)).stop_reason

    assert run_of(ask, lambda _: Answer("x", finish=finish)).value == said


# -- length and cost -------------------------------------------------------------------------------


@WAYS_IN
def test_max_tokens_cuts_the_answer(ask: Any) -> None:
    """After so many words, as it does the fake's own."""
    assert run_of(ask, lambda _: "one two three four", max_tokens=2).value == "one two"


def test_a_cut_answer_says_so() -> None:
    """JSON that was cut comes with the finish `length`."""

    async def main(tank: Tank) -> Any:
        tank.fake_llm.answer = lambda _: {"label": "bug", "why": "because"}
        return await tank.fake_llm.call("q", max_tokens=2)

    completion = value_of(main)
    assert (completion.text, completion.finish) == ('{"label": "bug",', "length")
    assert completion.usage.completion_tokens == 2


@BACKENDS
def test_the_usage_is_charged_and_limited(backend: str) -> None:
    """What the function says is in the answer and the log, spends the budget, and takes its time."""
    scenario = Scenario(
        latency=Latency(tokens_per_second=100.0),
        limits=Limits(tokens_per_minute=4200, burst=Duration(60 * SECOND)),
    )

    async def main(tank: Tank) -> Any:
        tank.fake_llm.answer = lambda _: Answer("short", usage=Usage(1500, 501))
        done = [await tank.fake_llm.call("q", item="a") for _ in range(2)]
        with pytest.raises(wavetank.RateLimited) as refused:
            await tank.fake_llm.call("q", item="a")
        return done[0].usage, tank.now(), refused.value.retry_after

    run: Any = simulate(main, scenario=scenario, backend=backend)
    usage, now, wait = run.value
    assert usage == Usage(1500, 501)
    assert [event.tokens for event in run.events.of("answered")] == [2001, 2001]
    assert now == 10.01  # twice 500 tokens after the first one, and the refusal
    assert wait == 16  # of 4200 tokens, 4002 are spent and 700 came back: 1103 lack, at 70 a second


def test_a_request_dearer_than_the_budget_is_too_large() -> None:
    """Also where the usage, and not the prompt, says so."""
    run = run_of(
        direct,
        lambda _: Answer("x", usage=Usage(10, 7000)),
        Scenario(limits=Limits(tokens_per_minute=6000)),
    )
    assert isinstance(run.value, wavetank.RequestTooLarge)


# -- errors ----------------------------------------------------------------------------------------


@by_turns(
    refusal=[
        (wavetank.RateLimited("slow down", retry_after=3), openai.RateLimitError, 429),
        (wavetank.QuotaExhausted("all used up"), openai.RateLimitError, 429),
        (wavetank.RequestTooLarge("too much"), openai.RateLimitError, 429),
        (wavetank.RequestTooLarge("too much", status=413), openai.APIStatusError, 413),
        (wavetank.Overloaded("come back later"), openai.InternalServerError, 503),
        (wavetank.ServerError("oh"), openai.InternalServerError, 500),
        (wavetank.ProviderError("no", status=404), openai.NotFoundError, 404),
    ],
    raised=[True, False],
    backend=["asyncio", "trio"],
)
def test_an_error_of_wavetank_s_is_that_refusal(
    refusal: tuple[wavetank.ProviderError, type[Exception], int], raised: bool, backend: str
) -> None:
    """On the wire, with its own words; the run does not fail by it."""
    error, kind, status = refusal

    def answer(_: Request) -> Any:
        if raised:
            raise error
        return error

    run = run_of(whole, answer, backend=backend)
    run.check()
    assert isinstance(run.value, kind)
    assert (run.value.status_code, str(error) in str(run.value)) == (status, True)  # type: ignore[attr-defined]
    (refused,) = run.events.of("refused")
    assert (refused.reason, refused.scope, refused.status) == ("answer", "item:row-1", status)
    assert refused.retry_after == (3 * SECOND if error.retry_after else None)


@pytest.mark.parametrize(
    "error",
    [
        wavetank.RateLimited("slow down", retry_after=3),
        wavetank.Overloaded("later"),
        wavetank.ConnectionLost("gone"),
        wavetank.MalformedAnswer("half"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_a_direct_call_raises_the_same_error(error: wavetank.ProviderError) -> None:
    """The type that the function raised, with its status and wait."""
    run = run_of(direct, lambda _: error)
    run.check()
    assert type(run.value) is type(error)
    assert (run.value.status, run.value.retry_after) == (error.status, error.retry_after)


def test_each_provider_has_its_own_status() -> None:
    """Where the error names none, as for waves."""

    async def ask(tank: Tank) -> Any:
        return await messages(tank)

    assert run_of(ask, lambda _: wavetank.Overloaded("busy")).value.status_code == 529
    assert run_of(ask, lambda _: wavetank.Overloaded("busy", status=503)).value.status_code == 503


@pytest.mark.parametrize("ask", [whole, streamed])
def test_a_lost_connection_is_one_for_the_client(ask: Any) -> None:
    """It spoils this answer only, and is in the log as what the function did."""
    run = run_of(ask, lambda _: wavetank.ConnectionLost("gone"))
    run.check()
    assert isinstance(run.value, openai.APIConnectionError)
    spoiled = run.events.of("answered", "left")[0]
    assert (spoiled.fault, spoiled.reason) == (-1, "reset")


def test_a_client_that_retries_gets_its_answer() -> None:
    """The second request is answered: an error is not remembered."""
    errors = iter([wavetank.RateLimited("wait", retry_after=2), wavetank.ConnectionLost("gone")])

    async def main(tank: Tank) -> Any:
        tank.fake_llm.answer = lambda _: next(errors, "done")
        async with openai.AsyncOpenAI(max_retries=4) as client:
            answer = await client.chat.completions.create(model="m", messages=MESSAGES)
        assert tank.now() >= 2
        return answer.choices[0].message.content

    run = simulate(main, scenario=Scenario(), checks="strict")
    run.check()
    assert run.value == "done"


async def coroutine(_: object) -> str:
    return "never"


@pytest.mark.parametrize(
    ("answer", "what"),
    [
        (lambda _: 3, "not int"),
        (lambda _: b"bytes", "not bytes"),
        (lambda request: coroutine(request), "it returned a coroutine, which never ran"),
        (lambda _: (one for one in "ab"), "it returned a generator, which never ran"),
        (lambda _: {"a": object()}, "not JSON serializable"),
        (lambda _: {"a": float("nan")}, "not JSON compliant"),
        (lambda _: Answer("x", finish="done"), "finish='done': choose from stop, length"),  # type: ignore[arg-type]
        (lambda _: Answer("x", usage={"prompt_tokens": 1}), "completion_tokens is missing"),  # type: ignore[arg-type]
        (lambda _: Answer("x", usage=Usage(-1, 2)), "cannot be negative"),
        (lambda _: Answer(tool_calls=[{"arguments": {}}]), "tool_calls has"),  # type: ignore[arg-type]
        (lambda _: ValueError("my own"), "ValueError: my own"),
        (lambda _: 1 / 0, "ZeroDivisionError: division by zero"),
    ],
)
def test_any_other_error_fails_the_run(answer: Any, what: str) -> None:
    """Whatever the program makes of it: the verdict and the client's error name the function's place."""
    run = run_of(direct, answer)
    verdict = run.verdicts["answer_function"]
    assert verdict.passed is False
    place = f"test_answers.py:{answer.__code__.co_firstlineno}"
    assert what in verdict.summary
    assert place in verdict.summary
    assert run.value.status == 400
    assert place in str(run.value)


@BACKENDS
@pytest.mark.parametrize("ask", [whole, streamed, messages, transport])
def test_the_wire_says_how_the_function_failed(ask: Any, backend: str) -> None:
    """As of a request that cannot be taken, which no SDK repeats."""
    run = run_of(ask, lambda _: 1 / 0, backend=backend)
    assert run.verdicts["answer_function"].passed is False
    assert len(run.events.of("arrived")) == 1
    assert run.events.of("refused")[0].status == 400
    if ask is not transport:
        assert "fake_llm.answer failed (tests/tank/test_answers.py:" in str(run.value)


def test_a_failed_function_fails_a_run_with_other_checks() -> None:
    """It cannot be left out."""

    async def main(tank: Tank) -> None:
        tank.fake_llm.answer = lambda _: 3
        with pytest.raises(wavetank.ProviderError):
            await tank.fake_llm.call("q")

    assert "answer_function" in simulate(main, scenario=Scenario(), checks="liveness").verdicts
    assert search(main, scenario=Scenario(), schedules=5).failure is not None


@pytest.mark.parametrize("wrong", ["a text", 3, coroutine])
def test_what_is_no_plain_function_is_refused_at_once(wrong: Any) -> None:
    """Where it is set."""

    async def main(tank: Tank) -> None:
        with pytest.raises(TypeError, match="give a plain function that is shown a request"):
            tank.fake_llm.answer = wrong
        assert tank.fake_llm.answer is None

    simulate(main, scenario=Scenario()).check()


# -- in searches -----------------------------------------------------------------------------------


def test_the_same_schedule_has_the_same_log() -> None:
    """To the byte, also of a search with answers that differ by item."""

    async def main(tank: Tank) -> None:
        tank.fake_llm.answer = lambda request: {"item": request.item, "n": len(request.prompt)}

        async def one(item: str) -> None:
            tank.ledger.submit(item)
            answer = await tank.fake_llm.call(f"do {item}", item=item)
            tank.ledger.complete(item, json.loads(answer.text))

        await asyncio.gather(*map(one, "abc"))

    scenario = Scenario(latency=Latency(first_token=DurationRange(Duration(0), Duration(SECOND))))
    logs = {simulate(main, scenario=scenario, seed=4).events.to_ndjson() for _ in range(3)}
    assert len(logs) == 1
    result = search(main, scenario=scenario, schedules=30)
    assert result.failure is None


# -- whose answer ----------------------------------------------------------------------------------


def pipeline(
    answers: dict[str, Any], made: Callable[[dict[str, str]], dict[str, Any]], mark: Any = None
) -> Run[Any]:
    """A run that asks for each item and completes it with what `made` makes of the texts by item."""

    async def main(tank: Tank) -> None:
        tank.fake_llm.answer = lambda request: answers[str(request.item)]
        texts = {}
        for item in answers:
            tank.ledger.submit(item)
            texts[item] = (await tank.fake_llm.call(f"do {item}", item=item)).text
        for item, value in made(texts).items():
            tank.ledger.complete(item, value)

    return simulate(main, scenario=Scenario(answers=Answers(mark=mark)))


LABELS = {"a": {"label": "bug"}, "b": {"label": "wish"}, "c": {"label": "defect"}, "d": "  A text of d. "}


@pytest.mark.parametrize(
    "made",
    [
        lambda texts: texts,
        lambda texts: {item: text.strip() for item, text in texts.items()},
        lambda texts: {item: {"id": item, "answer": text} for item, text in texts.items()},
        lambda texts: {i: json.loads(t) if t.startswith("{") else t for i, t in texts.items()},
        lambda texts: {i: json.loads(t)["label"] if t.startswith("{") else t[3:7] for i, t in texts.items()},
    ],
    ids=["as it is", "stripped", "in a record", "parsed", "a part"],
)
def test_an_answer_of_its_own_is_known_by_its_text(made: Any) -> None:
    """Parsed, stripped, in a record, or a part of it."""
    verdict = pipeline(LABELS, made).verdicts["right_answer"]
    assert (verdict.passed, verdict.summary) == (True, "4 value(s), each with its own item's answer")


def exchanged(texts: dict[str, str]) -> dict[str, Any]:
    parsed = {item: json.loads(text) for item, text in texts.items() if text.startswith("{")}
    return {**texts, **parsed, "a": parsed["b"], "b": parsed["a"]}


def test_exchanged_answers_are_found_without_a_mark() -> None:
    """Each of the two has what the other was answered."""
    run = pipeline(LABELS, exchanged)
    verdict = run.verdicts["right_answer"]
    assert verdict.passed is False
    assert verdict.summary == "item 'a' was completed with the answer of 'b'"


def test_a_pipeline_that_rewrites_its_answers_is_not_blamed() -> None:
    """A value that happens to be another item's answer, such as a label, proves no exchange."""
    run = pipeline(LABELS, lambda texts: {item: {"label": "bug"} for item in texts})
    run.check()
    assert run.verdicts["right_answer"].summary == "1 value(s), each with its own item's answer"


def test_nothing_is_judged_without_any_mark() -> None:
    """`mark = "none"`: the check says that it judged nothing."""
    assert pipeline(LABELS, exchanged, mark="none").verdicts["right_answer"].passed is None


def test_the_mark_can_be_put_before_texts_but_not_before_json() -> None:
    """`mark = "prefix"` spoils no JSON."""

    async def main(tank: Tank) -> Any:
        tank.fake_llm.answer = lambda request: LABELS[str(request.item)]
        return [(await tank.fake_llm.call("q", item=item)).text for item in "ad"]

    run = simulate(main, scenario=Scenario(answers=Answers(mark="prefix")))
    assert run.value == ['{"label": "bug"}', "[wt:d]   A text of d. "]


@pytest.mark.parametrize("more", [{}, {"reasoning": "\ud83d"}])
def test_half_a_character_is_no_answer(more: Any) -> None:
    """It cannot be sent: the test fails with the place, whatever the client makes of it."""

    async def main(tank: Tank) -> None:
        tank.fake_llm.answer = lambda _: Answer("x" if more else "\ud83d half", **more)
        with pytest.raises(wavetank.ProviderError, match="half a character"):
            await tank.fake_llm.call("q")

    run = simulate(main, "calm", checks=())
    assert "half a character" in run.report()


def test_a_status_that_is_no_refusal_s_is_no_answer() -> None:
    """It is not replaced by another one without a word."""

    async def main(tank: Tank) -> None:
        tank.fake_llm.answer = lambda _: wavetank.ProviderError("teapot", status=302)
        with pytest.raises(wavetank.ProviderError, match="from 400 to"):
            await tank.fake_llm.call("q")

    assert not simulate(main, "calm", checks=()).verdicts["answer_function"].passed


def test_reasoning_alone_is_one_block() -> None:
    """Anthropic's stream begins and ends it, and no empty text follows."""

    async def main(tank: Tank) -> list[str]:
        tank.fake_llm.answer = lambda _: Answer("", reasoning="only")
        async with (
            anthropic.AsyncAnthropic() as client,
            client.messages.stream(model="c", messages=MESSAGES, max_tokens=50) as stream,
        ):
            return [block.type for block in (await stream.get_final_message()).content]

    assert value_of(main) == ["thinking"]
