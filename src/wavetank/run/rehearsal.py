"""A rehearsal: the run as it would be, against the fake in virtual time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, final

import anyio

from ..clock import EPOCH_SECONDS
from ..processor import CallResult, LLMCallStrategy, LLMWorkItem, TokenUsage
from .options import Options
from .reading import read_table
from .session import Session
from .telling import Display, Tally, lasting

if TYPE_CHECKING:
    from ..processor import ItemResult
    from ..tank.fake_llm import FakeLLM
    from ..tank.run import Run
    from ..tank.tank import Tank

_LEDGER_CHECKS: Final = ("liveness", "exactly_once", "right_answer")


def rehearse(options: Options, display: Display) -> int:
    """Run the rows against a scenario and print the forecast; 0 if every row got its answer.

    No key is read, no request leaves, no file but the input is opened.

    Raises:
        RunError: the input cannot be read.
        ScenarioError: there is no such scenario.
    """
    from ..tank.simulate import simulate

    assert options.scenario is not None
    table = read_table(options.input, options.shape)

    async def main(tank: Tank) -> tuple[list[str], int]:
        start = anyio.current_time()
        tally = Tally(
            len(table.items),
            now=anyio.current_time,
            wall=lambda: EPOCH_SECONDS + anyio.current_time() - start,
        )
        for item in table.items:
            tank.ledger.submit(item.id)
        session = Session(_Fake(tank.fake_llm, options), pace=options.pace, tally=tally, output=_Ledger(tank))
        await session.process(table.items)
        return tally.report(), tally.total - tally.done + tally.failed

    run = simulate(main, options.scenario, seed=options.seed, max_virtual_seconds=None)
    return _forecast(run, options, display)


@final
class _Fake(LLMCallStrategy[str]):
    """Puts each item to the fake, with no HTTP between."""

    def __init__(self, fake: FakeLLM, options: Options) -> None:
        self._fake = fake
        self._ask = options.ask

    async def execute(self, item: LLMWorkItem[Any]) -> CallResult[str]:
        answer = await self._fake.call(
            item.prompt, item=item.id, model=self._ask.model, max_tokens=self._ask.max_tokens
        )
        return CallResult(answer.text, TokenUsage(answer.usage.prompt_tokens, answer.usage.completion_tokens))


@final
class _Ledger:
    """A sink that tells the tank's ledger what came back."""

    def __init__(self, tank: Tank) -> None:
        self._tank = tank

    async def write(self, item: LLMWorkItem[Any], result: ItemResult[Any]) -> None:
        """Note the outcome of an item."""
        if result.error is None:
            self._tank.ledger.complete(item.id, result.value)
        else:
            self._tank.ledger.fail(item.id, result.error)


def _forecast(run: Run[tuple[list[str], int]], options: Options, display: Display) -> int:
    display.close()
    report, failed = run.value or ([], len(run.events.of("submitted")))
    asked = len(run.events.of("arrived"))
    refused = len(run.events.of("refused"))
    display.say(
        f"wavetank: in {options.scenario!r} with seed {options.seed}, {options.pace.parallel} in parallel: "
        f"{lasting(run.virtual_seconds)} of virtual time, {asked} requests, {refused} refused"
    )
    for line in report:
        display.say(f"wavetank: {line}")
    for name in _LEDGER_CHECKS:
        verdict = run.verdicts[name]
        word = {True: "holds", False: "FAILED", None: "not judged"}[verdict.passed]
        display.say(f"wavetank: {name} {word}: {verdict.summary}")
    if run.error is not None:
        display.say(f"wavetank: it ended with {type(run.error).__name__}: {run.error}")
    return int(run.kind is not None or failed > 0)
