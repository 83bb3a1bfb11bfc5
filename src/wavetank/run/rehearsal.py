"""A rehearsal: the same run against the fake provider, in virtual time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, final

import anyio

from ..clock import EPOCH_SECONDS
from ..processor import LLMWorkItem
from ..progress import Display
from ..rehearsal.ending import error_lines, headline, verdict_lines
from .batches.start import check_providers, new_batch_run
from .command_options import CommandOptions
from .console import WarningCollector, print_line
from .input_table import read_table
from .provider_strategy import need_client, new_client
from .run_errors import RunError
from .run_plan import RunPlan
from .run_statistics import RunStatistics

if TYPE_CHECKING:
    from pathlib import Path

    import httpx2

    from ..processor import ItemResult
    from ..tank.runs.finished_run import Run
    from ..tank.tank import Tank

_LEDGER_CHECKS: Final = ("liveness", "exactly_once", "right_answer")


def rehearse(options: CommandOptions, display: Display) -> int:
    """Run the rows against a scenario and print the forecast; 0 if every row got its answer.

    The requests are those of the run, over the same client. The fake answers at the
    provider's own address, also if there is a `--base-url`.

    No key is read, no request leaves this process, and no file is opened but the input and that of
    `--timeline`.

    Raises:
        RunError: the input cannot be read, or httpx2 is not installed.
        ScenarioError: there is no such scenario.
    """
    from ..tank.runs.simulate import simulate

    assert options.scenario is not None
    need_client()
    table = read_table(options.input, options.columns, options.target)
    plan = RunPlan(options, table)
    if options.batch is not None:
        check_providers(plan)

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
            ledger = _Ledger(tank)
            if options.batch is not None:
                await _process_in_batches(plan, client, statistics, tank, ledger, display)
            else:
                strategies = {route.target: plan.rehearsed(route, client) for route in plan.routes}
                processor = plan.row_processor(strategies, statistics, output=ledger, say=display.say)
                await processor.process(plan.items(strategies))
        for item in table.items:
            # It was not sent because of a bound, so its ledger entry is cancelled.
            if item.id not in ledger.known:
                tank.ledger.cancel(item.id)
        return statistics.report(), statistics.all.rows - statistics.all.done + statistics.all.failed

    with WarningCollector() as log:
        run = simulate(main, options.scenario, seed=options.seed, max_virtual_seconds=None)
    log.print_exceptions()
    status = _forecast(run, options, display)
    if options.timeline is not None:
        _draw(run, options.timeline)
    return status


async def _process_in_batches(
    plan: RunPlan,
    client: httpx2.AsyncClient,
    statistics: RunStatistics,
    tank: Tank,
    ledger: _Ledger,
    display: Display,
) -> None:
    batches = new_batch_run(
        plan, client, statistics, keys=None, output=ledger, say=display.say, salt="rehearsal"
    )
    tank.fake_llm.item_of = lambda request: batches.rows.get(request.custom_id or "")
    await batches.process(plan.table.items)


def _draw(run: Run[Any], path: Path) -> None:
    """Write the timeline of the rehearsal.

    Raises:
        RunError: the file cannot be written.
    """
    try:
        run.write_timeline(path)
    except OSError as error:
        raise RunError(f"--timeline {path}: cannot be written: {error.strerror}; name another file") from None
    print_line(f"timeline: {path}")


@final
class _Ledger:
    """A sink that enters the outcomes in the tank's ledger."""

    def __init__(self, tank: Tank) -> None:
        self._tank = tank
        self.known: set[str] = set()

    async def write(self, item: LLMWorkItem[Any], result: ItemResult[Any]) -> None:
        """Enter the outcome of an item."""
        self.known.add(item.id)
        if result.error is None:
            self._tank.ledger.complete(item.id, result.value)
        else:
            self._tank.ledger.fail(item.id, result.error)


def _forecast(run: Run[tuple[list[str], int]], options: CommandOptions, display: Display) -> int:
    display.close()
    report, failed = run.value or ([], len(run.events.of("submitted")))
    how = f"{options.pace.parallel} in parallel" if options.batch is None else "in batches"
    what = f"in {options.scenario!r} with seed {options.seed}, {how}"
    verdicts = (run.verdicts[name] for name in _LEDGER_CHECKS)
    for line in (headline(run, what), *report, *verdict_lines(verdicts), *error_lines(run)):
        print_line(line)
    return int(run.kind is not None or failed > 0)
