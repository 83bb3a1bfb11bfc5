"""The same run gives the same bytes, in any process; this file is also the program of those processes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import anyio
import openai
import pytest

import wavetank
from wavetank import ProviderError, Tank
from wavetank.scenario import catalogue, load_scenario, scenario_from_dict
from wavetank.sim.choices import Level
from wavetank.sim.policies import policy_named
from wavetank.tank.runs.run_options import RunOptions
from wavetank.tank.runs.trial_runs import Trials

from .depth import DEEP, in_turn, n_of

WORKERS, ITEMS = 10, 24
SCHEDULES = n_of(12, 64)
BACKENDS = ("asyncio", "trio")

Ask = Callable[[Tank, str], Awaitable[str]]


async def batch(tank: Tank, ask: Ask) -> None:
    """Ten workers on two dozen items; each item is tried until it is answered or its client gives up."""
    send, receive = anyio.create_memory_object_stream[str](ITEMS)
    for number in range(ITEMS):
        tank.ledger.submit(f"item-{number}")
        await send.send(f"item-{number}")
    send.close()

    async def worker() -> None:
        async for item in receive:
            try:
                tank.ledger.complete(item, await ask(tank, item))
            except (openai.APIError, ProviderError, json.JSONDecodeError) as error:
                # The SDK raises the parser's error for an answer that was cut.
                tank.ledger.fail(item, error)

    async with receive, anyio.create_task_group() as group:
        for _ in range(WORKERS):
            group.start_soon(worker)


async def ask_directly(tank: Tank, item: str) -> str:
    for attempt in range(20):
        try:
            return (await tank.fake_llm.call(f"do {item}", item=item)).text
        except ProviderError as refusal:
            await anyio.sleep(refusal.retry_after or 2.0**attempt)
    raise ProviderError("gave up", status=0)


async def few(tank: Tank) -> None:
    """Four tasks that ask for an item each, and give up on none."""
    async with anyio.create_task_group() as group:
        for number in range(4):
            group.start_soon(one_of_few, tank, f"item-{number}")


async def one_of_few(tank: Tank, item: str) -> None:
    tank.ledger.submit(item)
    await anyio.sleep(1)
    tank.ledger.complete(item, await ask_directly(tank, item))


async def direct(tank: Tank) -> None:
    await batch(tank, ask_directly)


async def through_the_sdk(tank: Tank) -> None:
    async with openai.AsyncOpenAI(max_retries=4, timeout=20) as client:

        async def ask(_: Tank, item: str) -> str:
            answer = await client.chat.completions.create(
                model="gpt-4o",
                messages=[{"role": "user", "content": f"do {item}"}],
                extra_headers={"x-wavetank-item": item},
            )
            # The SDK raises nothing for an error inside a 200.
            if not answer.choices:
                raise ProviderError("an answer without a choice", status=200)
            return answer.choices[0].message.content or ""

        await batch(tank, ask)


# In one worker process of pytest-xdist, for they share two processes of their own.
pytestmark = pytest.mark.xdist_group("two processes")

PROGRAMS = {"direct": direct, "sdk": through_the_sdk}
# A run through the SDK takes about ten times as long; not every scenario is new to it.
BY_SDK = ("cascade", "mixed", "token-limits")
OUTAGES = scenario_from_dict(
    {
        "clock": {"behind": "5m"},
        "latency": {"first_token": "80ms..400ms"},
        "limits": {"requests_per_minute": 60, "window": "sliding", "count_refused": True},
        "limit": [{"requests": 4, "per": "1s", "window": "calendar", "scope": "host", "reset": "-1s"}],
        "wave": [{"at": "6s", "lasts": "2s", "retry_after": {"form": "http-date"}}],
        "fault": [
            {"kind": "no-answer", "at": "500ms", "lasts": "1s", "every": "20s", "times": 3, "share": 0.5},
            {"kind": "connection-refused", "at": "3s", "lasts": "2s", "match": {"host": "api.*"}},
        ],
    },
    name="outages",
    source=__file__,
)
"""What the catalogue does not have; only a client with a timeout comes to its end in it."""
CASES = [
    (scenario, program)
    for scenario in catalogue()
    for program in PROGRAMS
    if program == "direct" or scenario in BY_SDK or DEEP
] + [("outages", "sdk")]
# What a scenario does is the same on each backend, and what a backend does shows in many scenarios.
RUNS = [
    (scenario, program, backend)
    for number, (scenario, program) in enumerate(CASES)
    for backend in (in_turn(number, BACKENDS) if program == "direct" else BACKENDS)
]


def logs() -> dict[str, bytes]:
    """The log of every run."""
    found: dict[str, bytes] = {}
    for scenario, name, backend in RUNS:
        played = OUTAGES if scenario == "outages" else scenario
        run = wavetank.simulate(PROGRAMS[name], played, backend=backend, seed=11)
        assert run.error is None, run.error
        found[f"{scenario} {backend} {name}"] = run.events.to_ndjson()
    for backend in BACKENDS:
        found.update(chosen_logs(backend))
    return found


def chosen_logs(backend: str) -> dict[str, bytes]:
    """The log of a small batch under schedules of the default policy."""
    trials = Trials(few, load_scenario("cascade"), RunOptions(backend=backend, seed=3))
    planner = policy_named("portfolio", seed=3, level=Level())
    found: dict[str, bytes] = {}
    with trials.borrowed():
        for number in range(SCHEDULES):
            plan = planner.plan(number + 1)
            trial = trials.run(plan)
            assert trial.record is not None
            planner.learn(trial.record)
            found[f"schedule {number} {backend}"] = trial.log.to_ndjson()
    return found


def in_a_process(hash_seed: int) -> dict[str, bytes]:
    """What `logs` finds in a process of its own, without the coverage tracer, which would take longer."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("COV")}
    environment["PYTHONHASHSEED"] = str(hash_seed)
    done = subprocess.run(
        [sys.executable, "-m", "tests.test_determinism"],
        cwd=Path(__file__).parents[1],
        env=environment,
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode()
    parts = done.stdout.split(b"\0")
    return {name.decode(): log for name, _, log in (part.partition(b"\n") for part in parts if part)}


@pytest.fixture(scope="module")
def two_processes() -> tuple[dict[str, bytes], dict[str, bytes]]:
    return in_a_process(1), in_a_process(4242)


@pytest.mark.parametrize(("scenario", "program", "backend"), RUNS)
def test_two_processes_write_the_same_log(
    two_processes: tuple[dict[str, bytes], dict[str, bytes]], scenario: str, backend: str, program: str
) -> None:
    """Whatever PYTHONHASHSEED, scenario, seed and backend fix every byte of the log."""
    first, second = (logs_of[f"{scenario} {backend} {program}"] for logs_of in two_processes)
    assert first.count(b'"kind":"submitted"') == ITEMS
    assert first == second


@pytest.mark.parametrize("backend", BACKENDS)
def test_two_processes_write_the_same_log_of_a_schedule(
    two_processes: tuple[dict[str, bytes], dict[str, bytes]], backend: str
) -> None:
    """A search runs the same schedules in any process, this one too, and each gives the same bytes."""
    here = chosen_logs(backend)
    assert len(set(here.values())) > SCHEDULES // 2
    for logs_of in two_processes:
        assert {name: log for name, log in logs_of.items() if name in here} == here


def test_the_processes_agree_with_this_one(
    two_processes: tuple[dict[str, bytes], dict[str, bytes]],
) -> None:
    """What other tests ran before in this process makes no difference."""
    for backend in BACKENDS:
        scenario = next(each for each, *by in reversed(RUNS) if by == ["direct", backend])
        here = wavetank.simulate(direct, scenario, backend=backend, seed=11).events.to_ndjson()
        assert here == two_processes[0][f"{scenario} {backend} direct"]


if __name__ == "__main__":
    for name, log in logs().items():
        sys.stdout.buffer.write(name.encode() + b"\n" + log + b"\0")
