"""The reference processor in the tank: it survives every scenario of the catalogue."""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable

import anthropic
import openai
import pytest

import wavetank
from wavetank import Run, Tank
from wavetank.checks.history import dated
from wavetank.processor import (
    BatchResult,
    Decision,
    LLMWorkItem,
    ParallelBatchProcessor,
    decisions,
    error_in_answer,
)
from wavetank.scenario import catalogue

from ..depth import DEEP, by_turns, in_turn

BACKENDS = ("asyncio", "trio")
on_both = pytest.mark.parametrize("backend", BACKENDS)

STOPPED = ("billing-stop", "daily-quota", "disguised-limits", "too-large")
"""Here some items are past helping, and the processor says so."""
CLASSICS = ("calm", "cascade", "mixed", "overloaded", "simultaneous")
SURVIVED = [name for name in catalogue() if name not in STOPPED]

SOME = SURVIVED if DEEP else CLASSICS
BY_SDKS = SURVIVED if DEEP else (*CLASSICS, "broken-chunks", "proxy-pages")
"""The last two have answers that the SDKs cannot read."""

# anthropic's SDK does not close the generators of a stream that breaks, of which trio warns.
pytestmark = pytest.mark.filterwarnings(
    r"ignore:Async generator '(anthropic|httpcore2|httpx2)\.:ResourceWarning"
)

ITEMS = [f"item-{number}" for number in range(40)]


async def process(tank: Tank, call: Callable[[str], Awaitable[str]]) -> BatchResult[str]:
    """Forty items by ten workers; each item is its own prompt, and the ledger hears each outcome."""
    async with ParallelBatchProcessor(call, workers=10) as processor:
        for item in ITEMS:
            tank.ledger.submit(item)
            await processor.add_work(LLMWorkItem(id=item, prompt=item))
        batch = await processor.process_all()
    for result in batch.results:
        if result.error is None:
            tank.ledger.complete(result.id, result.value)
        else:
            tank.ledger.fail(result.id, result.error)
    return batch


async def directly(tank: Tank) -> BatchResult[str]:
    async def call(prompt: str) -> str:
        return (await tank.fake_llm.call(f"do {prompt}", item=prompt)).text

    return await process(tank, call)


async def by_openai(tank: Tank) -> BatchResult[str]:
    async with openai.AsyncOpenAI(max_retries=0) as client:

        async def call(prompt: str) -> str:
            answer = await client.chat.completions.create(
                model="gpt-4o",
                messages=[{"role": "user", "content": f"do {prompt}"}],
                extra_headers={"x-wavetank-item": prompt},
            )
            # The SDK raises nothing for an error inside a 200.
            if failure := error_in_answer(answer.model_dump()):
                raise failure.error
            return answer.choices[0].message.content or ""

        return await process(tank, call)


async def by_anthropic(tank: Tank) -> BatchResult[str]:
    async with anthropic.AsyncAnthropic(max_retries=0) as client:

        async def call(prompt: str) -> str:
            async with client.messages.stream(
                model="claude",
                max_tokens=50,
                messages=[{"role": "user", "content": f"do {prompt}"}],
                extra_headers={"x-wavetank-item": prompt},
            ) as events:
                message = await events.get_final_message()
            # The SDK raises nothing for a stream that was cut between two events.
            if message.stop_reason is None:
                raise ConnectionResetError("the stream ended before the answer did")
            return "".join(block.text for block in message.content if block.type == "text")

        return await process(tank, call)


def assert_survived(run: Run[BatchResult[str]]) -> None:
    """Every item completed with its own answer, in input order, and no check failed."""
    run.check()
    assert run.value is not None
    assert [result.id for result in run.value.results] == ITEMS
    assert (run.value.succeeded, run.value.failed) == (40, 0)
    for result in run.value.results:
        assert (result.value or "").startswith(f"[wt:{result.id}]")
    assert [verdict.summary for verdict in run.verdicts.values() if verdict.passed is False] == []
    assert run.verdicts["liveness"].passed is True
    assert run.verdicts["exactly_once"].passed is True
    assert run.verdicts["right_answer"].passed is True


@by_turns(scenario=SURVIVED, backend=BACKENDS)
def test_it_survives_at_the_direct_seam(scenario: str, backend: str) -> None:
    """Ten workers bring forty items home, each paid once, none before its Retry-After."""
    run = wavetank.simulate(directly, scenario, backend=backend, checks="strict")
    assert_survived(run)
    refused = run.events.of("refused")
    if scenario in CLASSICS:
        assert bool(refused) is (scenario != "calm")
    if scenario in ("cascade", "mixed", "simultaneous"):
        assert run.verdicts["retry_after"].passed is True


@by_turns(scenario=BY_SDKS, program=[by_openai, by_anthropic], backend=BACKENDS)
def test_it_survives_through_the_sdks(
    scenario: str, backend: str, program: Callable[[Tank], Awaitable[BatchResult[str]]]
) -> None:
    """Plain by openai and streamed by anthropic: the errors of both are understood."""
    assert_survived(wavetank.simulate(program, scenario, backend=backend, checks="strict"))


@by_turns(scenario=SOME, backend=BACKENDS)
@pytest.mark.parametrize("seed", in_turn(0, [1, 2, 3]))
def test_it_survives_other_picks(scenario: str, backend: str, seed: int) -> None:
    """Another seed picks other items to refuse; nothing else changes."""
    assert_survived(wavetank.simulate(directly, scenario, backend=backend, seed=seed, checks="strict"))


@on_both
@pytest.mark.parametrize("scenario", STOPPED)
def test_it_says_loudly_what_is_past_helping(scenario: str, backend: str) -> None:
    """What is done is kept, what is not is reported; an item refused for good is asked for once."""
    run = wavetank.simulate(directly, scenario, backend=backend)
    run.check()
    assert run.value is not None
    assert (run.value.succeeded > 0, run.value.failed > 0) == (True, True)
    assert run.value.succeeded + run.value.failed == len(ITEMS)
    asked = Counter(event.item for event in run.events.of("arrived"))
    if scenario != "disguised-limits":
        # Of a spent quota the others are not asked for at all.
        assert max(asked[result.id] for result in run.value.results if result.error is not None) == 1


@on_both
def test_more_workers_than_the_limit_allows_still_bring_everything_home(backend: str) -> None:
    """Forty workers run into cascade's cap on concurrency and its request limit, and nothing is lost."""

    async def main(tank: Tank) -> BatchResult[str]:
        async def call(prompt: str) -> str:
            return (await tank.fake_llm.call(f"do {prompt}", item=prompt)).text

        async with ParallelBatchProcessor(call, workers=40) as processor:
            for item in ITEMS:
                tank.ledger.submit(item)
                await processor.add_work(LLMWorkItem(id=item, prompt=item))
            batch = await processor.process_all()
        for result in batch.results:
            tank.ledger.complete(result.id, result.value)
        return batch

    assert_survived(wavetank.simulate(main, "cascade", backend=backend, checks="strict"))


@on_both
def test_the_pauses_of_a_processor_are_in_the_log(backend: str) -> None:
    """Each pause with its end, and when it was over; the program wires nothing."""

    async def main(tank: wavetank.Tank) -> list[Decision]:
        decisions: list[Decision] = []
        call = tank.fake_llm.call
        async with ParallelBatchProcessor(call, workers=4, observer=decisions.append) as processor:
            for number in range(20):
                await processor.add_work(LLMWorkItem(f"row-{number}", "?"))
            await processor.process_all()
        return [decision for decision in decisions if decision.kind in ("paused", "resumed")]

    run = wavetank.simulate(main, "cascade", backend=backend)
    assert run.value
    events = run.events.of("paused", "resumed")
    assert [(event.kind, event.scope) for event in events] == [(one.kind, one.scope) for one in run.value]
    assert [event.at / 1e9 for event in events] == pytest.approx([one.at for one in run.value])
    ends = [event.until / 1e9 for event in events if event.until is not None]
    assert ends == pytest.approx([one.until for one in run.value if one.kind == "paused"])
    assert wavetank.EventLog.from_ndjson(run.events.to_ndjson()).to_ndjson() == run.events.to_ndjson()
    assert "the gate account is paused until 23" in dated(events[0])
    assert not decisions.pause_observers
    assert wavetank.simulate(main, "cascade", backend=backend).events.to_ndjson() == run.events.to_ndjson()


@on_both
@pytest.mark.parametrize("mark", ["", '@pytest.mark.llm_clock("real")'])
def test_the_pauses_are_logged_in_a_test_with_pytest(
    pytester: pytest.Pytester, backend: str, mark: str
) -> None:
    """In virtual and in real time."""
    pytester.makepyfile(f"""
        import pytest
        from wavetank import RateLimited
        from wavetank.processor import FixedDelay, LLMWorkItem, ParallelBatchProcessor

        @pytest.mark.anyio
        @pytest.mark.parametrize("anyio_backend", ["{backend}"])
        {mark}
        async def test_it(tank):
            refusals = [RateLimited("slow down", status=429)]

            async def call(prompt):
                if refusals:
                    raise refusals.pop()
                return prompt

            async with ParallelBatchProcessor(call, delays=FixedDelay(0.001)) as processor:
                await processor.add_work(LLMWorkItem("a", "?"))
                await processor.process_all()
            paused, resumed = tank.events
            assert (paused.kind, paused.scope, resumed.kind) == ("paused", "account", "resumed")
            # In real time a pause is noted a moment after it was decided, which may be after its end.
            if tank.max_virtual_seconds:
                assert paused.at < paused.until <= resumed.at
            assert paused.at <= resumed.at
    """)
    pytester.runpytest("-p", "no:langsmith_plugin").assert_outcomes(passed=1)
