"""Runs the cases with several seeds, on all cores, until the answers are certain enough."""

from __future__ import annotations

import logging
import multiprocessing
import os
import pickle
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import ExitStack, contextmanager
from typing import Final

from ..engines import Engine, EngineError, Versions, raised_by, worker_here
from .cases import Case
from .clients import client_named
from .errors import ForecastError
from .estimates import Forecast, estimate, forecast_of
from .virtual_run import RunFigures, Setup, run_once
from .workload import Workload

FIRST_SEEDS: Final = 3
"""The fewest whose deviation says something."""
MOST_SEEDS: Final = 30
_MORE_SEEDS: Final = 3
_MOST_ROWS: Final = 80_000
"""All cases together send about so many rows, each at least once: about 40 s of CPU time. A large batch
averages over its own rows, and needs few seeds."""
WORTH_A_PROCESS: Final = 4_000
"""Rows that take longer than the start of a process."""

_ENDED: Final = "a process ended before its run: is the memory spent"

Show = Callable[[float, str], object]


def forecasts(
    cases: Sequence[Case],
    workload: Workload,
    *,
    seed: int = 0,
    seeds: int | None = None,
    jobs: int | None = None,
    engine: Engine | None = None,
    show: Show = lambda _done, _text: None,
) -> list[Forecast]:
    """Answer for each case.

    Args:
        cases: what to try.
        workload: the rows.
        seed: the first seed; the others follow it.
        seeds: so many runs for each case; by default until the answer is certain enough.
        jobs: processes at once; by default one a core. The answer does not depend on it.
        engine: makes the runs instead of this machine.
        show: called with the part that is done and a text, again and again.

    Raises:
        EngineError: the engine has lost a run, or a worker has other versions.
        ForecastError: a process ended before its run.
    """
    results: dict[int, list[RunFigures]] = {place: [] for place in range(len(cases))}
    most = seeds or most_seeds(cases, workload)
    first, rows = min(seeds or FIRST_SEEDS, most), len(cases) * workload.rows
    with ExitStack() as stack:
        submit = stack.enter_context(_pool(rows * first, jobs, engine))
        wanted = dict.fromkeys(results, first)
        while any(wanted.values()):
            _one_round(cases, workload, results, wanted, seed, submit, engine, show)
            if submit is _here:  # what is not certain after a few seeds mostly takes many
                submit = stack.enter_context(_pool(rows * (most - first), jobs, engine))
            wanted = {
                place: min(_MORE_SEEDS, most - len(runs)) if not estimate(runs).is_certain else 0
                for place, runs in results.items()
            }
    return [forecast_of(case, workload, results[place]) for place, case in enumerate(cases)]


def most_seeds(cases: Sequence[Case], workload: Workload) -> int:
    """How many seeds each case has at most: fewer for a large batch."""
    rows = sum(min(workload.rows, case.numbers.get("requests_per_day", workload.rows)) for case in cases)
    return max(1, min(MOST_SEEDS, _MOST_ROWS // max(1, rows)))


_Submit = Callable[[Setup, Workload, int], "Future[RunFigures]"]


def _one_round(
    cases: Sequence[Case],
    workload: Workload,
    results: dict[int, list[RunFigures]],
    wanted: dict[int, int],
    seed: int,
    submit: _Submit,
    engine: Engine | None,
    show: Show,
) -> None:
    """So many more runs of each case; the order in which they end changes nothing."""
    tasks: dict[Future[RunFigures], tuple[int, int]] = {}
    total = sum(wanted.values())
    for place, count in wanted.items():
        for number in range(len(results[place]), len(results[place]) + count):
            tasks[submit(cases[place].setup, workload, seed + number)] = place, number
            if len(tasks) and all(task.done() for task in tasks):
                show(len(tasks) / total, cases[place].name)
    ended: dict[tuple[int, int], RunFigures] = {}
    for done, task in enumerate(as_completed(tasks), start=1):
        try:
            ended[tasks[task]] = task.result()
        except BrokenProcessPool:
            raise ForecastError(f"{_ENDED}? try --jobs 1") from None
        except (EngineError, ForecastError):
            raise
        except Exception as error:
            if engine is None:
                raise
            raise raised_by(engine, error) from None
        show(done / total, f"{cases[tasks[task][0]].name}: seed {seed + tasks[task][1]} done")
    for place, number in sorted(ended):
        results[place].append(ended[place, number])


@contextmanager
def _pool(rows: int, jobs: int | None, engine: Engine | None) -> Iterator[_Submit]:
    """Where runs of so many rows are made: in processes if that takes longer than to start those."""
    if engine is not None:
        yield lambda *arguments: engine.submit(run_apart, Versions.here(), *arguments)
        return
    jobs = jobs or os.cpu_count() or 1
    if jobs == 1 or rows < WORTH_A_PROCESS:
        yield _here
        return
    # A fresh process: a fork would have the threads of this one, such as those of a progress bar.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(jobs, mp_context=context) as pool:
        try:
            yield lambda *arguments: pool.submit(_run, *arguments)
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _here(setup: Setup, workload: Workload, seed: int) -> Future[RunFigures]:
    future: Future[RunFigures] = Future()
    future.set_result(_run(setup, workload, seed))
    return future


def _run(setup: Setup, workload: Workload, seed: int) -> RunFigures:
    logger = logging.getLogger("wavetank.processor")
    quiet = logging.NullHandler()
    logger.addHandler(quiet)
    try:
        return run_once(client_named(setup.client), setup, workload, seed)
    finally:
        logger.removeHandler(quiet)


def run_apart(versions: Versions, setup: Setup, workload: Workload, seed: int) -> RunFigures:
    """Make a run for a command of these versions, in a process of its own.

    A run takes over the clocks and threads of its process, which the worker of an engine needs itself.

    Raises:
        EngineError: the versions here are others.
        ForecastError: the process ended before the run.
    """
    Versions.here().check(f"the worker on {worker_here()}", versions)
    done = subprocess.run(
        [sys.executable, "-P", "-c", f"from {__name__} import _run_from_pipe; _run_from_pipe()"],
        input=pickle.dumps((setup, workload, seed)),
        stdout=subprocess.PIPE,
        check=False,
    )
    if done.returncode:
        raise ForecastError(f"{_ENDED} of {worker_here()}?")
    figures: RunFigures = pickle.loads(done.stdout)
    return figures


def _run_from_pipe() -> None:
    setup, workload, seed = pickle.load(sys.stdin.buffer)
    sys.stdout.buffer.write(pickle.dumps(_run(setup, workload, seed)))
