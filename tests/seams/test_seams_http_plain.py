"""Plain HTTP clients and sync SDKs against the fake: bad requests, foreign hosts, threads."""

from __future__ import annotations

import concurrent.futures
import json
import threading
import time
from collections.abc import Callable
from types import ModuleType
from typing import Any

import anthropic
import httpx
import httpx2
import openai
import pytest

import wavetank
from wavetank import OutsideTheTank, Scenario, Tank, UnknownHost
from wavetank.clock import SECOND, Duration
from wavetank.scenario import DurationRange, Fault, Latency, RetryAfter, Wave, load_scenario
from wavetank.tank.hosted_world import Hosted

on_both = pytest.mark.parametrize("backend", ["asyncio", "trio"])
with_each = pytest.mark.parametrize("library", [httpx, httpx2], ids=["httpx", "httpx2"])

CHAT = "https://api.openai.com/v1/chat/completions"
MESSAGES = "https://api.anthropic.com/v1/messages"
BEARER = {"authorization": "Bearer sk-test"}
VERSIONED = {"x-api-key": "sk-ant", "anthropic-version": "2023-06-01"}
QUESTION: dict[str, Any] = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}


def after(seconds: float) -> Duration:
    return Duration(round(seconds * SECOND))


def takes(seconds: float) -> Latency:
    return Latency(first_token=DurationRange(after(seconds), after(seconds)))


def hosted(work: Callable[[Tank], Any], scenario: Scenario | str = "calm") -> tuple[Any, Hosted]:
    """Run sync code as a test's phase and end its world."""
    world = Hosted(load_scenario(scenario), seed=0, replay="pytest this")
    error: BaseException | None = None
    try:
        with world.phase():
            value = work(world.tank)
    except BaseException as caught:
        error = caught
        raise
    finally:
        world.over(error)
        world.close()
    world.raise_failure()
    return value, world


# -- requests the provider cannot take ---------------------------------------------------------------


@on_both
@with_each
@pytest.mark.parametrize(
    ("method", "url", "headers", "body", "status", "kind"),
    [
        ("POST", CHAT, BEARER, b"{not json", 400, "invalid_request_error"),
        ("POST", CHAT, BEARER, b"", 400, "invalid_request_error"),
        ("POST", CHAT, BEARER, b'{"model": "m"}', 400, "invalid_request_error"),
        ("POST", CHAT + "/x", BEARER, b"{}", 404, "invalid_request_error"),
        ("GET", CHAT, BEARER, b"", 405, "invalid_request_error"),
        ("POST", CHAT, {}, json.dumps(QUESTION).encode(), 401, "invalid_request_error"),
        ("POST", MESSAGES, VERSIONED, b"{not json", 400, "invalid_request_error"),
        ("POST", MESSAGES, VERSIONED, json.dumps(QUESTION).encode(), 400, "invalid_request_error"),
        ("POST", MESSAGES + "/x", VERSIONED, b"{}", 404, "not_found_error"),
        ("POST", MESSAGES, {}, b"{}", 401, "authentication_error"),
    ],
)
def test_a_request_that_cannot_be_read_is_answered_in_the_dialect(
    library: ModuleType,
    backend: str,
    method: str,
    url: str,
    headers: dict[str, str],
    body: bytes,
    status: int,
    kind: str,
) -> None:
    """A 4xx with the vendor's error object, at once; it is on record and in the log, and paid by nobody."""

    async def main(tank: Tank) -> Any:
        async with library.AsyncClient() as client:
            answer = await client.request(method, url, headers=headers, content=body)
        return answer.status_code, answer.json()["error"], [r.status for r in tank.fake_llm.requests]

    run = wavetank.simulate(main, backend=backend)
    assert run.error is None
    assert run.value is not None
    code, error, records = run.value
    assert code == status
    assert error["type"] == kind
    assert error["message"]
    if status == 404:  # a path that the vendor may have, and the fake has not
        assert "wavetank doesn't serve" in error["message"]
        assert (records, [event.kind for event in run.events]) == ([], ["unknown-host"])
    else:
        assert records == [status]
        assert [event.kind for event in run.events] == ["arrived", "refused", "delivered"]
        assert run.events[1].reason == "bad-request"
    assert run.virtual_seconds == 0


@on_both
@with_each
def test_a_connection_serves_on_after_a_bad_request(library: ModuleType, backend: str) -> None:
    """The next request of the same client is answered."""

    async def main(_: Tank) -> list[int]:
        async with library.AsyncClient(headers=BEARER) as client:
            bad = await client.post(CHAT, content=b"{")
            good = await client.post(CHAT, json=QUESTION)
        return [bad.status_code, good.status_code]

    assert wavetank.simulate(main, backend=backend).value == [400, 200]


@on_both
@with_each
@pytest.mark.parametrize(
    ("url", "mend"),
    [
        ("https://example.com/v1", "llm_hosts = example.com=openai in the ini file"),
        ("https://api.openai.co/", "or check the client's base_url"),
        ("http://127.0.0.1:8080/", '@pytest.mark.llm_clock("real")'),
    ],
)
def test_an_unknown_host_is_named_and_nothing_is_sent(
    library: ModuleType, backend: str, url: str, mend: str
) -> None:
    """The error names host and port, the hosts that are served, and the fix."""

    async def main(tank: Tank) -> int:
        async with library.AsyncClient() as client:
            with pytest.raises(UnknownHost) as refused:
                await client.get(url)
        text = str(refused.value)
        assert url.split("/")[2].partition(":")[0] in text
        assert "nothing was sent" in text
        assert "api.openai.com" in text
        assert mend in text
        return len(tank.fake_llm.requests)

    assert wavetank.simulate(main, backend=backend).value == 0


@on_both
def test_an_sdk_with_a_foreign_base_url_says_so(backend: str) -> None:
    """The vendor's connection error has ours as its cause."""

    async def main(_: Tank) -> str:
        async with openai.AsyncOpenAI(base_url="https://llm.example.org/v1", max_retries=0) as client:
            with pytest.raises((openai.APIConnectionError, UnknownHost)) as refused:
                await client.chat.completions.create(model="m", messages=[])
        return f"{refused.value} {refused.value.__cause__}"

    run = wavetank.simulate(main, backend=backend)
    assert run.error is None
    assert "llm.example.org" in (run.value or "")


@on_both
@with_each
def test_a_large_body_and_a_large_answer_arrive_whole(library: ModuleType, backend: str) -> None:
    """A prompt of two megabytes goes through, and its tokens are counted."""
    question = {"model": "m", "messages": [{"role": "user", "content": "x" * 2_000_000}]}

    async def main(_: Tank) -> int:
        async with library.AsyncClient(headers=BEARER) as client:
            answer = await client.post(CHAT, json=question)
        return int(answer.json()["usage"]["prompt_tokens"])

    assert wavetank.simulate(main, backend=backend).value == 500_000


@on_both
@with_each
def test_the_wire_timeouts_of_plain_clients_hold(library: ModuleType, backend: str) -> None:
    """A read timeout fires at its instant, and the request has left."""

    async def main(tank: Tank) -> float:
        async with library.AsyncClient(headers=BEARER, timeout=2.5) as client:
            with pytest.raises(library.ReadTimeout):
                await client.post(CHAT, json=QUESTION)
        return tank.now()

    run = wavetank.simulate(main, Scenario(latency=takes(30)), backend=backend)
    assert run.value == 2.5
    assert [event.kind for event in run.events] == ["arrived", "left"]


@on_both
@with_each
def test_a_request_that_waits_for_the_pool_is_sent_when_it_entered_it(
    library: ModuleType, backend: str
) -> None:
    """With one connection the second request arrives later than it set out, and no repeat is seen in it."""

    async def main(tank: Tank) -> list[tuple[float, float]]:
        import anyio

        tank.ledger.submit("a")
        limits = library.Limits(max_connections=1)
        headers = {**BEARER, "x-wavetank-item": "a"}
        async with (
            library.AsyncClient(headers=headers, limits=limits) as client,
            anyio.create_task_group() as group,
        ):
            for _ in range(2):
                group.start_soon(lambda: client.post(CHAT, json=QUESTION))
        tank.ledger.fail("a", "refused")
        return [(record.sent, record.reached or 0) for record in tank.fake_llm.requests]

    wave = Wave(lasts=after(5), retry_after=RetryAfter(value=after(7)))
    run = wavetank.simulate(main, Scenario(wave=(wave,)), backend=backend, checks="strict")
    assert run.error is None
    assert run.value == [(0, 0.01), (0, 0.02)]
    assert run.verdicts["retry_after"].passed is None


# -- sync clients --------------------------------------------------------------------------------------


def prompt(item: str) -> list[Any]:
    return [{"role": "user", "content": item}]


def ask_openai(item: str = "hi", **options: Any) -> str:
    with openai.OpenAI(**options) as client:
        answer = client.chat.completions.create(model="gpt-4o", messages=prompt(item))
    return answer.choices[0].message.content or ""


def ask_anthropic(item: str = "hi", **options: Any) -> str:
    with anthropic.Anthropic(**options) as client:
        answer: Any = client.messages.create(model="claude", max_tokens=50, messages=prompt(item))
    return str(answer.content[0].text)


each_sdk = pytest.mark.parametrize("ask", [ask_openai, ask_anthropic])


@each_sdk
def test_a_sync_sdk_gets_its_answer_in_virtual_time(ask: Callable[..., str]) -> None:
    """The clocks of the process move by what the scenario says."""
    (text, took), world = hosted(lambda _: (ask(), time.monotonic()), Scenario(latency=takes(90)))
    assert text == "[wt:hi] is the item this answer belongs to."
    assert took == 90
    assert [event.kind for event in world.tank.events] == ["arrived", "answered", "delivered"]


@each_sdk
def test_a_sync_sdk_waits_the_retry_after(ask: Callable[..., str]) -> None:
    """`time.sleep` of the SDK's own retry is virtual and exact."""
    wave = Wave(lasts=after(0.1), retry_after=RetryAfter(value=after(7)))
    took, world = hosted(lambda _: (ask(), time.monotonic())[1], Scenario(wave=(wave,)))
    assert took == 7.01
    assert [record.status for record in world.tank.fake_llm.requests] == [429, 200]


@each_sdk
def test_a_sync_sdk_times_out_in_virtual_time(ask: Callable[..., str]) -> None:
    """A stall is cut by the client's own timeout, to the instant."""

    def work(_: Tank) -> float:
        with pytest.raises((openai.APITimeoutError, anthropic.APITimeoutError)):
            ask(timeout=5, max_retries=0)
        return time.monotonic()

    took, world = hosted(work, Scenario(fault=(Fault(kind="stall"),)))
    assert took == 5
    assert [event.kind for event in world.tank.events] == ["arrived", "left"]


def test_a_sync_stream_comes_piece_by_piece() -> None:
    """Each token of both SDKs has its own instant, and the body is read to its end."""

    def by_openai(_: Tank) -> list[float]:
        with openai.OpenAI() as client:
            parts = client.chat.completions.create(model="m", messages=prompt("hi"), stream=True)
            return [time.monotonic() for part in parts if part.choices[0].delta.content]

    def by_anthropic(_: Tank) -> list[float]:
        with (
            anthropic.Anthropic() as client,
            client.messages.stream(model="m", max_tokens=50, messages=prompt("hi")) as events,
        ):
            return [time.monotonic() for _ in events.text_stream]

    for work in (by_openai, by_anthropic):
        instants, world = hosted(work, Scenario(latency=Latency(tokens_per_second=4)))
        assert instants == [0, 0.25, 0.5, 0.75, 1, 1.25, 1.5, 1.75]
        assert [event.kind for event in world.tank.events] == ["arrived", "answered", "delivered"]


@with_each
def test_a_plain_sync_client_meets_the_fake(library: ModuleType) -> None:
    """Answer, refusal of an unknown host and read timeout, as for the async one."""

    def work(_: Tank) -> list[Any]:
        with library.Client(headers=BEARER) as client:
            first = client.post(CHAT, json=QUESTION).status_code
            with pytest.raises(UnknownHost, match=r"example\.com"):
                client.get("https://example.com")
            with pytest.raises(library.ReadTimeout):
                client.post(CHAT, json=QUESTION, timeout=0.5)
        return [first, time.monotonic()]

    value, world = hosted(work, Scenario(latency=takes(2)))
    assert value == [200, 2.5]
    assert [event.kind for event in world.tank.events][-2:] == ["arrived", "left"]


@each_sdk
def test_eight_threads_meet_a_barrier_of_eight(ask: Callable[..., str]) -> None:
    """The threads overlap in virtual time: all are refused at one instant, and each gets its own answer."""

    def work(tank: Tank) -> tuple[dict[str, str], int]:
        items = [f"item {number}" for number in range(16)]
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            answers = dict(zip(items, pool.map(ask, items), strict=True))
        return answers, tank.fake_llm.peak_in_flight

    (answers, peak), world = hosted(work, "simultaneous")
    assert peak == 8
    for item, answer in answers.items():
        assert answer.startswith(f"[wt:{item.replace(' ', '%20')}]")
    refused = world.tank.events.of("refused")
    assert len(refused) == 8
    assert len({event.at for event in refused}) == 1
    assert len(world.tank.fake_llm.requests) == 24


def test_the_log_of_threads_is_the_same_in_every_run() -> None:
    """Threads go one at a time in a fixed order, so the bytes of the log repeat."""

    def work(_: Tank) -> list[str]:
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            return list(pool.map(ask_openai, [f"item {number}" for number in range(24)]))

    logs = {hosted(work, "simultaneous")[1].tank.events.to_ndjson() for _ in range(3)}
    assert len(logs) == 1


def test_a_thread_that_is_not_the_runs_stays_in_real_time() -> None:
    """A thread from before the run sees the machine's clock, and its sleep is its own."""
    seen: list[float] = []
    ask_now, told = threading.Event(), threading.Event()

    def foreign() -> None:
        ask_now.wait(600)
        seen.append(time.monotonic())
        told.set()

    thread = threading.Thread(target=foreign)
    thread.start()
    before = time.monotonic()

    def work(_: Tank) -> None:
        time.sleep(5000)
        ask_now.set()

    hosted(work)
    assert told.wait(600)
    thread.join(600)
    assert before <= seen[0] < before + 1000


@each_sdk
def test_a_call_from_a_thread_that_is_not_the_run_s_names_the_fix(ask: Callable[..., str]) -> None:
    """The fake does not answer a foreign thread; the error names the place and what to do."""
    raised: list[BaseException | None] = []
    ask_now, told = threading.Event(), threading.Event()

    def foreign() -> None:
        ask_now.wait(600)
        try:
            ask(api_key="k", max_retries=0)
        except Exception as error:
            raised.append(error if isinstance(error, OutsideTheTank) else error.__cause__)
        told.set()

    thread = threading.Thread(target=foreign)
    thread.start()

    def work(_: Tank) -> None:
        ask_now.set()
        thread.join(600)

    _, world = hosted(work)
    assert told.is_set()
    (error,) = raised
    assert isinstance(error, OutsideTheTank)
    assert "a thread that the run did not start" in str(error)
    assert 'llm_clock("real")' in str(error)
    assert not world.tank.fake_llm.requests
    (text, _), _ = hosted(lambda _: (ask(), time.monotonic()))
    assert "[wt:hi]" in text
