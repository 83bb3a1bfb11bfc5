"""Run the programs of one package, named by FIELD_PROGRAM, and write what became of them to FIELD_RESULTS.

The run fails only if it does not end; what the package made of the scenario is a result.
"""

from __future__ import annotations

import importlib
import inspect
import json
import os
import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from wavetank import Tank
from wavetank.checks import judge

ROWS = [f"row-{number:02}" for number in range(20)]
MODULE = importlib.import_module(f"field.{os.environ['FIELD_PROGRAM']}")
PROGRAMS = [
    each
    for name, each in vars(MODULE).items()
    if name.startswith("run_") and each.__module__ == MODULE.__name__
]


def named(wanted: Callable[[object], bool]) -> Any:
    """The programs of a kind, as parameters of a test."""
    programs = [program for program in PROGRAMS if wanted(program)]
    return pytest.mark.parametrize("program", programs, ids=lambda program: program.__name__)


@pytest.fixture
def anyio_backend() -> str:
    """Most packages know asyncio only."""
    return "asyncio"


def started(tank: Tank) -> None:
    """Enter all rows; a request is for the last row in its prompt."""
    tank.fake_llm.item_of = lambda request: (re.findall(r"row-\d+", request.prompt) or [None])[-1]
    for row in ROWS:
        tank.ledger.submit(row)


def ended(tank: Tank, program: Callable[..., object], results: list[object]) -> None:
    """Enter what each row came to, and write down what the checks say."""
    errors = [result for result in results if isinstance(result, BaseException)]
    for row, result in zip(ROWS, results, strict=True):
        if isinstance(result, BaseException):
            tank.ledger.fail(row, result)
        else:
            tank.ledger.complete(row, str(result))
    verdicts = judge(tank.events, "strict").values()
    requests = tank.fake_llm.requests
    first = next((f"{type(error).__name__}: {error}" for error in errors), "")
    written = {
        "program": program.__name__,
        "doc": inspect.getdoc(program),
        "done": len(results) - len(errors),
        "failed": dict(Counter(type(error).__name__ for error in errors)),
        "first": first[:500],
        "requests": len(requests),
        "refused": sum(request.status not in (200, None) for request in requests),
        "unanswered": sum(request.status in (400, 401, 403, 404, 405, 422) for request in requests),
        "peak": tank.fake_llm.peak_in_flight,
        "seconds": round(tank.now(), 1),
        "says": {verdict.name: verdict.summary for verdict in verdicts if verdict.passed is False},
    }
    with Path(os.environ["FIELD_RESULTS"]).open("a", encoding="utf-8") as file:
        file.write(json.dumps(written) + "\n")


@named(inspect.iscoroutinefunction)
@pytest.mark.anyio
async def test_in_tasks(tank: Tank, program: Callable[..., Any]) -> None:
    """A program of coroutines."""
    started(tank)
    ended(tank, program, await program(ROWS))


@named(lambda program: not inspect.iscoroutinefunction(program))
def test_in_threads(tank: Tank, program: Callable[..., Any]) -> None:
    """A program of threads."""
    started(tank)
    ended(tank, program, program(ROWS))
