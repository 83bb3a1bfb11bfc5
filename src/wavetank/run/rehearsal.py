"""A rehearsal: the run as it would be, against the fake in virtual time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, final

import anyio

from ..clock import EPOCH_SECONDS
from ..processor import LLMWorkItem
from .input_table import read_table
from .provider_strategy import need_client, new_client
from .run_options import Options
from .run_plan import Plan
from .run_report import Shown, WarningCollector, duration_text, print_line

if TYPE_CHECKING:
    from ..processor import ItemResult
    from ..tank.run import Run
    from ..tank.tank import Tank

_LEDGER_CHECKS: Final = ("liveness", "exactly_once", "right_answer")


def rehearse(options: Options, display: Shown) -> int:
    """Run the rows against a scenario and print the forecast; 0 if every row got its answer.

    The requests are those of the run, over the same client; the fake answers at the
    provider's address, whatever `--base-url` says.

    No key is read, no request leaves, no file but the input is opened.

    Raises:
        RunError: the input cannot be read, or httpx2 is not installed.
        ScenarioError: there is no such scenario.
    """
    from ..tank.simulate import simulate

    assert options.scenario is not None
    need_client()
    table = read_table(options.input, options.shape, options.target)
    plan = Plan(options, table)

    async def main(tank: Tank) -> tuple[list[str], int]:
        start = anyio.current_time()
        statistics = plan.statistics(
            now=anyio.current_time, wall=lambda: EPOCH_SECONDS + anyio.current_time() - start
        )
        for item in table.items:
            tank.ledger.submit(item.id)
        async with new_client(
            connections=options.pace.parallel, timeout_seconds=options.timeout_seconds
        ) as client:
            strategies = {route.target: plan.rehearsed(route, client) for route in plan.routes}
            ledger = _Ledger(tank)
            session = plan.session(strategies, statistics, output=ledger, say=display.say)
            await session.process(plan.items(strategies))
        for item in table.items:
            # Left out by a bound, as was asked for.
            if item.id not in ledger.known:
                tank.ledger.cancel(item.id)
        return statistics.report(), statistics.total - statistics.done + statistics.failed

    with WarningCollector() as log:
        run = simulate(main, options.scenario, seed=options.seed, max_virtual_seconds=None)
    log.print_exceptions()
    return _forecast(run, options, display)


@final
class _Ledger:
    """A sink that tells the tank's ledger what came back."""

    def __init__(self, tank: Tank) -> None:
        self._tank = tank
        self.known: set[str] = set()

    async def write(self, item: LLMWorkItem[Any], result: ItemResult[Any]) -> None:
        """Note the outcome of an item."""
        self.known.add(item.id)
        if result.error is None:
            self._tank.ledger.complete(item.id, result.value)
        else:
            self._tank.ledger.fail(item.id, result.error)


def _forecast(run: Run[tuple[list[str], int]], options: Options, display: Shown) -> int:
    display.close()
    report, failed = run.value or ([], len(run.events.of("submitted")))
    asked = len(run.events.of("arrived"))
    refused = len(run.events.of("refused"))
    print_line(
        f"in {options.scenario!r} with seed {options.seed}, {options.pace.parallel} in parallel: "
        f"{duration_text(run.virtual_seconds)} of virtual time, {asked} requests, {refused} refused"
    )
    for line in report:
        print_line(line)
    for name in _LEDGER_CHECKS:
        verdict = run.verdicts[name]
        word = {True: "holds", False: "FAILED", None: "not judged"}[verdict.passed]
        print_line(f"{name} {word}: {verdict.summary}")
    if run.error is not None:
        print_line(f"it ended with {type(run.error).__name__}: {run.error}")
    return int(run.kind is not None or failed > 0)
