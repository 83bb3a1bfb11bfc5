"""Replicate's predictions, with its own package."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import anyio.to_thread
import pytest
from replicate.client import Client
from replicate.exceptions import ReplicateError

import wavetank
from wavetank import Scenario, Tank
from wavetank.clock import SECOND, Duration
from wavetank.scenario import DurationRange, Latency, RefusalError, RetryAfter, Wave

pytestmark = [
    # SDKs leave generators of their own to the garbage collector, of which trio warns.
    pytest.mark.filterwarnings(r"ignore:Async generator '.*:ResourceWarning"),
]

MODEL = "meta/meta-llama-3-8b-instruct"
TEXT = "[wt:row-1] is the item this answer belongs to."
ASKED = {"prompt": "row-1"}
SLOW = Scenario(latency=Latency(first_token=DurationRange(Duration(2 * SECOND), Duration(2 * SECOND))))


def client() -> Client:
    """A client with a token of no use."""
    return Client(api_token="r8_key-of-the-test")


def in_a_thread(work: Callable[[Tank], Any], scenario: Scenario | None = None) -> Any:
    """What blocking work returns in a world of its own."""

    async def main(tank: Tank) -> Any:
        return await anyio.to_thread.run_sync(work, tank)

    run = wavetank.simulate(main, scenario or Scenario(), checks=())
    if run.error is not None:
        raise run.error
    return run.value


def refusing(lasts: float, status: int | None = 429, **more: Any) -> Scenario:
    """All requests are refused for so many seconds."""
    return Scenario(wave=(Wave(lasts=Duration(round(lasts * SECOND)), status=status, **more),))


@pytest.mark.parametrize("model", [MODEL, f"{MODEL}:{'a' * 64}"])
def test_run_waits_for_the_output(model: str) -> None:
    """One request that is answered when the prediction is done; a version is looked up for its output."""

    def work(tank: Tank) -> Any:
        output = "".join(client().run(model, input=ASKED))
        return output, [record.request.endpoint for record in tank.fake_llm.requests]

    output, asked = in_a_thread(work)
    assert output == TEXT
    assert asked == (["predictions"] if model == MODEL else ["predictions", "model"])


def test_a_prediction_is_polled_until_it_is_done() -> None:
    """It has been started when it is made, and is done after the scenario's latency."""

    def work(tank: Tank) -> Any:
        made = client().models.predictions.create(model=MODEL, input=ASKED)
        begun = made.status, made.output, tank.now()
        made.wait()
        return begun, made.status, "".join(made.output or ()), made.metrics, tank.now()

    begun, status, output, metrics, now = in_a_thread(work, SLOW)
    assert begun == ("starting", None, 2.0)
    assert (status, output) == ("succeeded", TEXT)
    assert (metrics["predict_time"], metrics["output_token_count"]) == (2.0, 8)
    assert now > 4


def test_a_prediction_is_cancelled_and_listed() -> None:
    """While it runs; then it has no output. One that is done stays so."""

    def work(_: Tank) -> Any:
        first = client().models.predictions.create(model=MODEL, input=ASKED)
        first.cancel()
        first.reload()
        second = client().predictions.create(version="a" * 64, input=ASKED)
        second.wait()
        second.cancel()
        listed = client().predictions.list().results
        return (first.status, first.output), second.status, [(one.id, one.status) for one in listed], first.id

    cancelled, done, listed, ident = in_a_thread(work, SLOW)
    assert (cancelled, done) == (("canceled", None), "succeeded")
    assert [status for _, status in listed] == ["succeeded", "canceled"]
    assert listed[1][0] == ident


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_output_comes_as_events(backend: str) -> None:
    """In pieces of one token, also to an asynchronous client."""

    async def main(_: Tank) -> Any:
        events = await client().async_stream(MODEL, input=ASKED)
        return [event async for event in events]

    run = wavetank.simulate(main, Scenario(), backend=backend, checks=())
    assert run.error is None
    assert run.value is not None
    *pieces, done = run.value
    assert "".join(str(piece) for piece in pieces) == TEXT
    assert (len(pieces), done.event.value) == (8, "done")


@pytest.mark.parametrize(
    ("error", "status", "said"),
    [
        (None, 429, "Your rate limit resets in ~7s"),
        ("billing", 402, "insufficient credit"),
        ("overloaded", 503, "unavailable"),
    ],
)
def test_a_refusal_is_a_problem_with_details(error: RefusalError | None, status: int, said: str) -> None:
    """Its status and details are the SDK's error; a prediction is not asked for again."""
    scenario = refusing(
        60, None if error else 429, error=error, retry_after=RetryAfter(value=Duration(7 * SECOND))
    )

    def work(tank: Tank) -> Any:
        with pytest.raises(ReplicateError) as caught:
            client().run(MODEL, input=ASKED)
        return caught.value.status, caught.value.detail, len(tank.fake_llm.requests)

    found, detail, requests = in_a_thread(work, scenario)
    assert (found, requests) == (status, 1)
    assert said in detail


def test_a_poll_waits_out_a_wave() -> None:
    """The SDK asks again for what it reads, when it is asked to."""
    wave = Wave(
        at=Duration(3 * SECOND),
        lasts=Duration(SECOND),
        status=429,
        retry_after=RetryAfter(value=Duration(3 * SECOND)),
    )

    def work(tank: Tank) -> Any:
        made = client().models.predictions.create(model=MODEL, input=ASKED)
        time.sleep(3 - tank.now())
        made.reload()
        return made.status, [(record.status, round(record.sent)) for record in tank.fake_llm.requests]

    slow = Scenario(wave=(wave,), latency=SLOW.latency)
    assert in_a_thread(work, slow) == ("succeeded", [(200, 0), (429, 3), (200, 6)])


@pytest.mark.parametrize(
    ("asking", "status"),
    [
        (lambda: client().predictions.get("nothing"), 404),
        (lambda: client().trainings.list(), 404),
        (lambda: client()._request("POST", "/v1/predictions", json={"version": "a"}), 422),
        (lambda: client()._request("POST", "/v1/predictions", json={"input": {}}), 422),
    ],
)
def test_a_bad_request_is_a_problem(asking: Callable[[], Any], status: int) -> None:
    """What is not there, and what is missing."""

    def work(_: Tank) -> Any:
        with pytest.raises(ReplicateError) as caught:
            asking()
        return caught.value.status

    assert in_a_thread(work) == status
