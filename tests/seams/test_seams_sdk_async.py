"""The vendors' own async SDKs, unmodified, against the fake on asyncio and trio."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable
from typing import Any

import anthropic
import anyio
import httpx2
import openai
import pytest

import wavetank
from wavetank import Run, Scenario, Tank
from wavetank.clock import SECOND, Duration
from wavetank.scenario import (
    DurationRange,
    Fault,
    FaultKind,
    Latency,
    Match,
    RetryAfter,
    RetryAfterForm,
    Wave,
)

from ..depth import in_turn, n_of

pytestmark = [
    # Both SDKs leave generators of their own to the garbage collector, of which trio warns.
    pytest.mark.filterwarnings(
        r"ignore:Async generator '(openai|anthropic|httpcore2|httpx2)\.:ResourceWarning"
    ),
]
on_both = pytest.mark.parametrize("backend", ["asyncio", "trio"])
of_both = pytest.mark.parametrize("vendor", ["openai", "anthropic"])

Sdk = openai.AsyncOpenAI | anthropic.AsyncAnthropic
CLIENTS: dict[str, Callable[..., Any]] = {"openai": openai.AsyncOpenAI, "anthropic": anthropic.AsyncAnthropic}

ANSWER = "[wt:hi] is the item this answer belongs to."


def after(seconds: float) -> Duration:
    return Duration(round(seconds * SECOND))


def takes(seconds: float) -> DurationRange:
    return DurationRange(after(seconds), after(seconds))


def refusing(status: int = 429, **fields: Any) -> Scenario:
    """All requests of the first 100 ms are refused."""
    return Scenario(wave=(Wave(lasts=after(0.1), status=status, **fields),))


async def ask(client: Any, text: str = "hi", *, stream: bool = False, **fields: Any) -> str:
    """The whole answer to a prompt, plain or put together from a stream."""
    messages = [{"role": "user", "content": text}]
    fields = {"model": "some-model", "messages": messages, **fields}
    if isinstance(client, openai.AsyncOpenAI):
        answer: Any = await client.chat.completions.create(**fields, stream=stream)
        if not stream:
            return str(answer.choices[0].message.content)
        return "".join([part.choices[0].delta.content or "" async for part in answer if part.choices])
    fields.setdefault("max_tokens", 100)
    if stream:
        async with client.messages.stream(**fields) as events:
            return "".join([text async for text in events.text_stream])
    answer = await client.messages.create(**fields)
    return str(answer.content[0].text)


def run_sdk(
    vendor: str,
    scenario: Scenario | str = "calm",
    *,
    backend: str = "asyncio",
    stream: bool = False,
    checks: str = "strict",
    **options: Any,
) -> Run[str]:
    """One request of one client for item `a`, entered in the ledger."""

    async def main(tank: Tank) -> str:
        tank.ledger.submit("a")
        async with CLIENTS[vendor](**options) as client:
            try:
                text = await ask(client, stream=stream, extra_headers={"x-wavetank-item": "a"})
            except BaseException as error:
                tank.ledger.fail("a", error)
                raise
        tank.ledger.complete("a", text)
        return text

    return wavetank.simulate(main, scenario, backend=backend, checks=checks)


def kinds(run: Run[Any]) -> list[str]:
    return [event.kind for event in run.events if event.request is not None]


def sent_at(run: Run[Any]) -> list[float]:
    """When each request set out, in seconds."""
    return [(event.sent or 0) / SECOND for event in run.events.of("arrived")]


# -- answers ---------------------------------------------------------------------------------------


@on_both
@of_both
@pytest.mark.parametrize("stream", [False, True], ids=["plain", "streamed"])
def test_an_unmodified_client_gets_its_answer(vendor: str, backend: str, stream: bool) -> None:
    """The answer carries its item, is delivered and paid once, and takes what the scenario says."""
    paced = Scenario(latency=Latency(first_token=takes(0.5), tokens_per_second=10))
    run = run_sdk(vendor, paced, backend=backend, stream=stream)
    run.check()
    assert run.value == "[wt:a] is the item this answer belongs to."
    assert kinds(run) == ["arrived", "answered", "delivered"]
    assert run.verdicts["exactly_once"].passed is True
    assert run.verdicts["right_answer"].passed is True
    assert run.virtual_seconds == pytest.approx(1.2)


@on_both
@of_both
def test_a_stream_comes_piece_by_piece(vendor: str, backend: str) -> None:
    """Each token reaches the client at its own instant, and the end costs no time."""

    async def main(tank: Tank) -> list[float]:
        instants: list[float] = []
        async with CLIENTS[vendor]() as client:
            if vendor == "openai":
                parts = await client.chat.completions.create(
                    model="m", messages=[{"role": "user", "content": "hi"}], stream=True
                )
                instants += [tank.now() async for part in parts if part.choices[0].delta.content]
            else:
                async with client.messages.stream(
                    model="m", max_tokens=50, messages=[{"role": "user", "content": "hi"}]
                ) as events:
                    instants += [tank.now() async for _ in events.text_stream]
        return [*instants, tank.now()]

    run = wavetank.simulate(
        main, Scenario(latency=Latency(first_token=takes(1), tokens_per_second=4)), backend=backend
    )
    assert run.value == pytest.approx([1, 1.25, 1.5, 1.75, 2, 2.25, 2.5, 2.75, 2.75])
    assert kinds(run) == ["arrived", "answered", "delivered"]


# -- refusals and the SDKs' own retries --------------------------------------------------------------


@on_both
@of_both
@pytest.mark.parametrize("stream", [False, True], ids=["plain", "streamed"])
def test_a_429_is_retried_after_exactly_what_it_says(vendor: str, backend: str, stream: bool) -> None:
    """The SDK sleeps the Retry-After from when the refusal came; the refusal reached it, and it waited."""
    run = run_sdk(vendor, refusing(retry_after=RetryAfter(value=after(7))), backend=backend, stream=stream)
    run.check()
    assert sent_at(run) == [0, 7.01]
    assert kinds(run) == ["arrived", "refused", "delivered", "arrived", "answered", "delivered"]
    assert run.verdicts["retry_after"].passed is True


@of_both
@pytest.mark.parametrize(
    ("form", "value", "gap"),
    [
        ("seconds", 1.0, 1.01),
        ("seconds", 2.5, 2.51),
        ("ms", 0.75, 0.76),
        ("ms", 7.0, 7.01),
        ("http-date", 7.0, 8.0),
    ],
)
def test_every_form_of_the_header_is_waited_for(
    vendor: str, form: RetryAfterForm, value: float, gap: float
) -> None:
    """Seconds and milliseconds to the nanosecond; a date to the whole second it names, and never early."""
    run = run_sdk(vendor, refusing(retry_after=RetryAfter(form=form, value=after(value))))
    run.check()
    first, second = sent_at(run)
    assert first == 0
    # A date is compared with time.time(), a float that holds the epoch to a quarter of a microsecond.
    assert gap <= second < gap + (1e-6 if form == "http-date" else 1e-9)
    assert run.verdicts["retry_after"].passed is True


@of_both
@pytest.mark.parametrize("form", ["body", "none"])
def test_without_a_header_the_sdk_backs_off_by_itself(vendor: str, form: RetryAfterForm) -> None:
    """Half a second less a quarter of jitter, whatever the body says."""
    value = after(7) if form == "body" else None
    run = run_sdk(vendor, refusing(retry_after=RetryAfter(form=form, value=value)), checks="default")
    run.check()
    assert 0.375 <= sent_at(run)[1] - 0.01 <= 0.5


@on_both
def test_openai_does_not_retry_above_two_minutes(backend: str) -> None:
    """120 s is waited for; 121 s raises at once, after a single request."""
    patient = run_sdk("openai", refusing(retry_after=RetryAfter(value=after(120))), backend=backend)
    patient.check()
    assert sent_at(patient) == [0, 120.01]
    hasty = run_sdk("openai", refusing(retry_after=RetryAfter(value=after(121))), backend=backend)
    assert isinstance(hasty.error, openai.RateLimitError)
    assert len(sent_at(hasty)) == 1
    assert hasty.virtual_seconds == 0.01


@on_both
def test_anthropic_waits_an_hour_if_asked_to(backend: str) -> None:
    """There is no cap, and the hour is virtual."""
    run = run_sdk("anthropic", refusing(retry_after=RetryAfter(value=after(3600))), backend=backend)
    run.check()
    assert sent_at(run) == [0, 3600.01]


@on_both
@pytest.mark.parametrize(
    ("vendor", "status", "error"),
    [
        ("openai", 429, openai.RateLimitError),
        ("openai", 500, openai.InternalServerError),
        ("openai", 503, openai.InternalServerError),
        ("openai", 529, openai.InternalServerError),
        ("anthropic", 429, anthropic.RateLimitError),
        ("anthropic", 500, anthropic.InternalServerError),
        ("anthropic", 503, anthropic.InternalServerError),
        ("anthropic", 529, anthropic.InternalServerError),
    ],
)
def test_a_refusal_raises_the_sdks_own_error(
    backend: str, vendor: str, status: int, error: type[Exception]
) -> None:
    """Without retries the first refusal comes out, typed, with status and body of the vendor."""
    run = run_sdk(vendor, refusing(status), backend=backend, max_retries=0)
    assert isinstance(run.error, error)
    assert isinstance(run.error, openai.APIStatusError | anthropic.APIStatusError)
    assert run.error.status_code == status
    assert run.error.request_id
    assert isinstance(run.error.body, dict)
    assert kinds(run) == ["arrived", "refused", "delivered"]
    failed = run.events.of("failed")[0]
    assert (failed.error or "").startswith(type(run.error).__name__)


def test_the_finer_errors_of_anthropic_come_out() -> None:
    """529 is an OverloadedError and 503 a ServiceUnavailableError, and the body has the type."""
    for status, name in ((529, "OverloadedError"), (503, "ServiceUnavailableError")):
        error = run_sdk("anthropic", refusing(status), max_retries=0).error
        assert type(error).__name__ == name
        assert isinstance(error, anthropic.APIStatusError)
        assert error.type == "overloaded_error"


@of_both
def test_retries_end_after_two(vendor: str) -> None:
    """Three requests in all, and then the error; each refusal is on record."""
    wave = Wave(lasts=after(60), retry_after=RetryAfter(value=after(1)))
    run = run_sdk(vendor, Scenario(wave=(wave,)))
    assert sent_at(run) == [0, 1.01, 2.02]
    assert run.kind == "error"
    assert run.verdicts["retry_after"].passed is True
    assert run.verdicts["exactly_once"].passed is True


# -- the client's own timeout ------------------------------------------------------------------------


@on_both
@of_both
def test_a_timeout_of_the_client_is_enforced_in_virtual_time(vendor: str, backend: str) -> None:
    """Three attempts of 5 s, two short waits between, then the SDK's timeout error."""
    stall = Scenario(fault=(Fault(kind="stall", times=3),))
    run = run_sdk(vendor, stall, backend=backend, timeout=5, checks="strict,exercised")
    assert isinstance(run.error, openai.APITimeoutError | anthropic.APITimeoutError)
    assert kinds(run) == ["arrived", "left"] * 3
    waited = [
        left.at - (arrived.sent or 0)
        for arrived, left in zip(run.events.of("arrived"), run.events.of("left"), strict=True)
    ]
    assert waited == pytest.approx([5 * SECOND] * 3, abs=1)
    assert 15 + 0.375 + 0.75 <= run.virtual_seconds <= 15 + 0.5 + 1
    assert run.verdicts["exercised"].passed is True
    assert run.verdicts["exactly_once"].passed is True
    assert "3 answer(s) wasted" in run.verdicts["exactly_once"].summary


@on_both
@of_both
def test_a_patient_client_sits_the_stall_out(vendor: str, backend: str) -> None:
    """A stall shorter than the timeout only takes time: the answer is good and paid."""
    run = run_sdk(vendor, Scenario(fault=(Fault(kind="stall"),)), backend=backend)
    run.check()
    assert run.virtual_seconds == 60
    assert kinds(run) == ["arrived", "answered", "delivered"]
    assert run.verdicts["exactly_once"].passed is True


@of_both
def test_ten_minutes_is_the_default_timeout(vendor: str) -> None:
    """700 s of stall are cut by the SDK's own 600 s, and the repeat succeeds."""
    run = run_sdk(vendor, Scenario(fault=(Fault(kind="stall", lasts=after(700)),)))
    run.check()
    assert kinds(run) == ["arrived", "left", "arrived", "answered", "delivered"]
    assert 600.375 <= run.virtual_seconds <= 600.5


# -- faults ------------------------------------------------------------------------------------------

PROTOCOL = httpx2.RemoteProtocolError
NOT_JSON = json.JSONDecodeError
PLAIN: list[tuple[FaultKind, str, type[BaseException]]] = [
    ("cut-mid-stream", "openai", openai.APIConnectionError),
    ("cut-mid-stream", "anthropic", anthropic.APIConnectionError),
    ("reset", "openai", openai.APIConnectionError),
    ("reset", "anthropic", anthropic.APIConnectionError),
    ("malformed-chunk", "openai", NOT_JSON),
    ("malformed-chunk", "anthropic", NOT_JSON),
    ("empty-body", "openai", NOT_JSON),
    ("empty-body", "anthropic", NOT_JSON),
    ("html-body", "openai", openai.InternalServerError),
    ("html-body", "anthropic", anthropic.InternalServerError),
]
STREAMED: list[tuple[FaultKind, str, type[BaseException]]] = [
    ("cut-mid-stream", "openai", openai.APIConnectionError),
    ("cut-mid-stream", "anthropic", PROTOCOL),
    ("reset", "openai", openai.APIConnectionError),
    ("reset", "anthropic", anthropic.APIConnectionError),
    ("malformed-chunk", "openai", NOT_JSON),
    ("malformed-chunk", "anthropic", NOT_JSON),
    ("error-in-stream", "openai", openai.APIError),
    ("error-in-stream", "anthropic", anthropic.APIStatusError),
    ("html-body", "openai", openai.InternalServerError),
    ("html-body", "anthropic", anthropic.InternalServerError),
]
PACES = {"at-once": None, "paced": 10.0}
paced = pytest.mark.parametrize("pace", PACES.values(), ids=PACES)


def spoiled(answers: list[tuple[FaultKind, str, type[BaseException]]]) -> pytest.MarkDecorator:
    """Each fault with each vendor and at each pace, on backends by turns, so that each meets each fault."""
    cases = [
        pytest.param(kind, vendor, error, pace, backend, id=f"{kind}-{vendor}-{name}-{backend}")
        for place, (kind, vendor, error) in enumerate(answers)
        for number, (name, pace) in enumerate(PACES.items())
        for backend in in_turn(place + place // 2 + number, ("asyncio", "trio"))
    ]
    return pytest.mark.parametrize(("kind", "vendor", "error", "pace", "backend"), cases)


def with_fault(kind: FaultKind, pace: float | None) -> Scenario:
    latency = Latency(first_token=takes(0.1), tokens_per_second=pace)
    return Scenario(latency=latency, fault=(Fault(kind=kind, after_chunks=2),))


def assert_spoiled(run: Run[Any], error: type[BaseException]) -> None:
    """The one request met its fault, its error came out, and nothing counts as paid or as wasted."""
    assert type(run.error) is error
    assert run.verdicts["exercised"].passed is True
    assert run.verdicts["exactly_once"].passed is True
    assert "wasted" not in run.verdicts["exactly_once"].summary
    assert not [e for e in run.events.of("delivered") if e.fault is None]


@spoiled(PLAIN)
def test_a_fault_in_a_plain_answer_raises(
    kind: FaultKind, vendor: str, error: type[BaseException], pace: float | None, backend: str
) -> None:
    """What each SDK makes of a broken plain answer, with its own retries off."""
    run = run_sdk(vendor, with_fault(kind, pace), backend=backend, max_retries=0, checks="strict,exercised")
    assert_spoiled(run, error)
    assert run.virtual_seconds == pytest.approx(0.1 if pace is None else 0.8)


@spoiled(STREAMED)
def test_a_fault_in_a_stream_raises(
    kind: FaultKind, vendor: str, error: type[BaseException], pace: float | None, backend: str
) -> None:
    """What each SDK makes of a broken stream, with its own retries off."""
    run = run_sdk(
        vendor,
        with_fault(kind, pace),
        backend=backend,
        stream=True,
        max_retries=0,
        checks="strict,exercised",
    )
    assert_spoiled(run, error)


@on_both
@of_both
def test_an_error_in_a_stream_says_what_the_vendor_says(vendor: str, backend: str) -> None:
    """openai's error has no status; anthropic's has that of the answer, 200, and the type of the event."""
    run = run_sdk(vendor, with_fault("error-in-stream", None), backend=backend, stream=True, checks="default")
    if vendor == "openai":
        assert isinstance(run.error, openai.APIError)
        assert not isinstance(run.error, openai.APIStatusError)
    else:
        assert isinstance(run.error, anthropic.APIStatusError)
        assert (run.error.status_code, run.error.type) == (200, "overloaded_error")
    assert len(sent_at(run)) == 1


@on_both
@paced
@of_both
def test_an_empty_stream_is_an_empty_answer(vendor: str, pace: float | None, backend: str) -> None:
    """A 200 whose stream ends without an event reaches its end; it is not paid."""

    async def main(_: Tank) -> int:
        async with CLIENTS[vendor](max_retries=0) as client:
            create = client.chat.completions.create if vendor == "openai" else client.messages.create
            events = await create(
                model="m", messages=[{"role": "user", "content": "hi"}], max_tokens=50, stream=True
            )
            return len([event async for event in events])

    run = wavetank.simulate(main, with_fault("empty-body", pace), backend=backend, checks="exercised")
    run.check()
    assert run.value == 0
    assert [(event.kind, event.fault) for event in run.events.of("delivered")] == [("delivered", 0)]


@on_both
@of_both
@pytest.mark.parametrize("stream", [False, True], ids=["plain", "streamed"])
def test_a_slow_trickle_only_takes_time(vendor: str, stream: bool, backend: str) -> None:
    """The bytes come late but whole: the answer is good and paid."""
    run = run_sdk(vendor, with_fault("slow-trickle", None), stream=stream, backend=backend)
    run.check()
    assert run.virtual_seconds == pytest.approx(60.1)
    assert kinds(run) == ["arrived", "answered", "delivered"]
    assert run.verdicts["exactly_once"].passed is True


@on_both
@of_both
def test_the_sdks_retry_what_broke_before_the_answer(vendor: str, backend: str) -> None:
    """A reset is retried by both SDKs, and the second answer is paid once."""
    run = run_sdk(vendor, Scenario(fault=(Fault(kind="reset"),)), backend=backend)
    run.check()
    assert kinds(run)[-3:] == ["arrived", "answered", "delivered"]
    assert len(sent_at(run)) == 2
    assert run.verdicts["exactly_once"].summary == "1 item(s), each with one outcome"


# -- clients that go away ----------------------------------------------------------------------------


@on_both
@of_both
@pytest.mark.parametrize("stream", [False, True], ids=["plain", "streamed"])
def test_a_client_that_is_cancelled_has_left(vendor: str, stream: bool, backend: str) -> None:
    """Nothing is delivered and nothing paid; the provider stops working on the answer."""

    async def main(tank: Tank) -> int:
        tank.ledger.submit("a")
        async with CLIENTS[vendor](default_headers={"x-wavetank-item": "a"}) as client:
            with anyio.move_on_after(1.5):
                await ask(client, stream=stream)
        tank.ledger.cancel("a")
        return tank.fake_llm.in_flight

    run = wavetank.simulate(
        main, Scenario(latency=Latency(first_token=takes(1), tokens_per_second=4)), backend=backend
    )
    run.check()
    assert run.value == 0
    assert kinds(run) == ["arrived", "left"]
    assert run.events.of("left")[0].at == 1.5 * SECOND
    assert "1 answer(s) wasted" in run.verdicts["exactly_once"].summary


@on_both
@of_both
def test_a_client_that_is_cancelled_in_a_barrier_leaves_it(vendor: str, backend: str) -> None:
    """A barrier of two that lost one does not fill with the next."""
    barrier = Wave(when_in_flight=2, patience=after(5))

    async def main(tank: Tank) -> list[int | None]:
        async with CLIENTS[vendor](max_retries=0) as client:
            with anyio.move_on_after(1):
                await ask(client, "first")
            await ask(client, "second")
        return [record.status for record in tank.fake_llm.requests]

    run = wavetank.simulate(main, Scenario(wave=(barrier,)), backend=backend)
    assert run.error is None
    assert run.value == [None, 200]
    assert kinds(run) == ["arrived", "held", "left", "arrived", "held", "answered", "delivered"]


@on_both
@of_both
def test_a_stream_that_is_left_early_is_not_paid(vendor: str, backend: str) -> None:
    """A client that has read enough and goes has not read the body to its end."""

    async def main(tank: Tank) -> None:
        tank.ledger.submit("a")
        async with CLIENTS[vendor](default_headers={"x-wavetank-item": "a"}) as client:
            create = client.chat.completions.create if vendor == "openai" else client.messages.create
            events = await create(
                model="m", messages=[{"role": "user", "content": "hi"}], max_tokens=50, stream=True
            )
            async for _ in events:
                break
            await events.close()
        tank.ledger.cancel("a")

    run = wavetank.simulate(main, Scenario(latency=Latency(tokens_per_second=4)), backend=backend)
    run.check()
    assert kinds(run) == ["arrived", "left"]


# -- who a request is about ----------------------------------------------------------------------------


@on_both
def test_an_item_is_named_by_header_then_body_then_inferred(backend: str) -> None:
    """The header wins, then `metadata.item`; without either the last user message is the item, inferred."""

    async def main(tank: Tank) -> list[tuple[str | None, bool]]:
        async with openai.AsyncOpenAI() as gpt, anthropic.AsyncAnthropic() as claude:
            header = {"x-wavetank-item": "from-header"}
            await ask(gpt, extra_headers=header, metadata={"item": "from-body"})
            await ask(claude, extra_headers=header, extra_body={"metadata": {"item": "from-body"}})
            await ask(gpt, metadata={"item": "from-body"})
            await ask(claude, extra_body={"metadata": {"item": "from-body"}})
            await ask(gpt, "from the text")
            await ask(claude, "from the text")
        return [(record.item, record.inferred) for record in tank.fake_llm.requests]

    run = wavetank.simulate(main, backend=backend)
    assert run.error is None
    assert run.value == [
        *[("from-header", False)] * 2,
        *[("from-body", False)] * 2,
        *[("from the text", True)] * 2,
    ]
    assert [event.declared for event in run.events.of("arrived")] == [True] * 4 + [False] * 2


@on_both
def test_a_rule_of_the_test_names_the_items(backend: str) -> None:
    """What `item_of` names is declared and marks the answer; where it says `None` the default stays."""

    async def main(tank: Tank) -> list[Any]:
        seen: list[Any] = []

        def rule(incoming: Any) -> str | None:
            seen.append(
                (incoming.prompt, incoming.model, incoming.headers.get("x-row"), incoming.payload["model"])
            )
            return "row-7" if "row 7" in incoming.prompt else None

        tank.fake_llm.item_of = rule
        async with openai.AsyncOpenAI() as client:
            answers = [
                await ask(client, "summarise row 7", extra_headers={"x-row": "7"}),
                await ask(client, "summarise row 8"),
            ]
        return [answers, seen, [(r.item, r.inferred) for r in tank.fake_llm.requests]]

    run = wavetank.simulate(main, backend=backend)
    assert run.error is None
    assert run.value is not None
    answers, seen, records = run.value
    assert answers[0].startswith("[wt:row-7]")
    assert answers[1].startswith("[wt:summarise%20row%208]")
    assert seen == [
        ("summarise row 7", "some-model", "7", "some-model"),
        ("summarise row 8", "some-model", None, "some-model"),
    ]
    assert records == [("row-7", False), ("summarise row 8", True)]


@on_both
def test_two_keys_and_two_models_are_distinguished(backend: str) -> None:
    """A wave for one model refuses that one only, in the scope of the model; keys get labels in the log."""
    scenario = Scenario(
        wave=(
            Wave(lasts=after(1), match=Match(model="gpt-*")),
            Wave(lasts=after(1), match=Match(key="sk-poor"), status=402),
        )
    )

    async def main(tank: Tank) -> list[Any]:
        async with (
            openai.AsyncOpenAI(api_key="sk-rich", max_retries=0) as rich,
            openai.AsyncOpenAI(api_key="sk-poor", max_retries=0) as poor,
        ):
            for client, model in ((rich, "gpt-4o"), (rich, "o1"), (poor, "o1")):
                with contextlib.suppress(openai.APIStatusError):
                    await ask(client, model=model)
        return [(r.model, r.key, r.status, r.scope) for r in tank.fake_llm.requests]

    run = wavetank.simulate(main, scenario, backend=backend)
    assert run.error is None
    assert run.value == [
        ("gpt-4o", "key-1", 429, "model:gpt-4o"),
        ("o1", "key-1", 200, None),
        ("o1", "key-2", 402, "key:key-2"),
    ]
    assert [event.key for event in run.events.of("arrived")] == ["key-1", "key-1", "key-2"]


@on_both
@of_both
def test_no_api_key_is_in_the_log(vendor: str, backend: str) -> None:
    """Whatever goes wrong, the log names keys by number only."""
    scenario = Scenario(wave=(Wave(lasts=after(0.1), match=Match(key="sk-s3cr3t*")),))
    run = run_sdk(vendor, scenario, backend=backend, api_key="sk-s3cr3t-key", max_retries=0)
    assert run.error is not None
    data = run.events.to_ndjson()
    assert b"s3cr3t" not in data
    assert b'"key":"key-1"' in data


# -- connections ---------------------------------------------------------------------------------------


@on_both
@of_both
@pytest.mark.parametrize("stream", [False, True], ids=["plain", "streamed"])
def test_requests_in_a_row_share_a_connection(
    vendor: str, stream: bool, backend: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The real pool keeps its connection open, also after a refusal that was read and after a stream."""
    made: list[str] = []

    async def main(tank: Tank) -> int:
        from httpcore2._backends.auto import AutoBackend

        connect = AutoBackend.connect_tcp

        async def counted(self: Any, host: str, *args: Any, **options: Any) -> Any:
            made.append(host)
            return await connect(self, host, *args, **options)

        monkeypatch.setattr(AutoBackend, "connect_tcp", counted)
        try:
            async with CLIENTS[vendor]() as client:
                for number in range(5):
                    await ask(client, f"item {number}", stream=stream and number > 0)
        finally:
            monkeypatch.undo()
        return len(tank.fake_llm.requests)

    run = wavetank.simulate(main, refusing(retry_after=RetryAfter(value=after(1))), backend=backend)
    run.check()
    assert run.value == 6
    assert made == [f"api.{vendor}.com"]


@on_both
@pytest.mark.parametrize("vendor", ["openai", "anthropic"])
def test_many_clients_at_once_get_their_own_answers(vendor: str, backend: str) -> None:
    """Forty requests on one client: each answer is its item's, and all were in flight together."""

    async def one(tank: Tank, client: Any, item: str) -> None:
        tank.ledger.submit(item)
        tank.ledger.complete(item, await ask(client, f"do {item}", extra_headers={"x-wavetank-item": item}))

    async def main(tank: Tank) -> int:
        async with CLIENTS[vendor]() as client, anyio.create_task_group() as group:
            for number in range(40):
                group.start_soon(one, tank, client, f"item-{number}")
        return tank.fake_llm.peak_in_flight

    run = wavetank.simulate(main, "calm", backend=backend, checks="strict")
    run.check()
    assert run.value == 40
    assert run.verdicts["right_answer"].summary == "40 value(s), each with its own item's mark"
    assert run.virtual_seconds < 1


# -- the thread of a fresh client ----------------------------------------------------------------------


@on_both
@of_both
def test_the_thread_of_a_fresh_client_never_lets_a_timeout_fire(vendor: str, backend: str) -> None:
    """A client's first request asks the platform in a thread; no time passes meanwhile, each time."""
    times = n_of(40, 200)

    async def main(tank: Tank) -> tuple[int, float]:
        async with httpx2.AsyncClient() as http:
            for _ in range(times):
                client = CLIENTS[vendor](http_client=http)
                with anyio.fail_after(30):
                    await ask(client)
        return len(tank.fake_llm.requests), tank.now()

    run = wavetank.simulate(main, Scenario(), backend=backend)
    assert run.error is None
    assert run.value == (times, 0)
