"""Orders of tasks and threads, searched, shrunk and repeated."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest

from wavetank.rehearsal.child import rehearsed
from wavetank.rehearsal.job import Rehearsal
from wavetank.rehearsal.program import Program
from wavetank.rehearsal.rehearse import repeated, searched
from wavetank.scenario import load_scenario
from wavetank.sim.token import Schedule, TokenError

RACE = """\
import asyncio, httpx

busy = []

async def ask(client, number, late):
    for _ in range(late):
        await asyncio.sleep(0)
    if number not in busy:
        await asyncio.sleep(0)  # here another task may see that nobody is busy yet
        busy.append(number)
        await client.post(
            "https://api.openai.com/v1/chat/completions",
            headers={"authorization": "Bearer k", "x-wavetank-item": f"row-{number}"},
            json={"model": "m", "messages": [{"role": "user", "content": f"Say {number}."}]},
        )

async def main():
    async with httpx.AsyncClient(verify=False) as client:
        await asyncio.gather(ask(client, 1, 0), ask(client, 1, LATE))

asyncio.run(main())
"""
HERE = partial(rehearsed, leave=lambda: None, abandoned=lambda _: None)


def command(token: str | None) -> str:
    """A line that repeats the rehearsal."""
    return f"again {token or ''}"


def rehearsal(source: str) -> Rehearsal:
    """The rehearsal of a script."""
    Path("race.py").write_text(source)
    return Rehearsal(program=Program("script", "race.py"), scenario=load_scenario("calm"))


@pytest.mark.usefixtures("rehearse")
def test_a_race_is_found_and_repeated_from_its_token() -> None:
    """The first order is right; in another one a row is paid twice, and its token gives it again."""
    race = rehearsal(RACE.replace("LATE", "3"))
    result = searched(race, command, 200, HERE)
    assert result.status == 1
    assert result.schedules > 1
    run = result.run
    assert run.verdicts["paid_once"].passed is False
    assert run.found[0].startswith("check (paid_once) in schedule")
    assert run.deviations
    assert run.replay == f"again {run.schedule}"
    again = repeated(race, command, Schedule.parse(run.schedule), HERE)
    assert again.run.events.to_ndjson(waits=False) == run.events.to_ndjson(waits=False)
    with pytest.raises(TokenError, match="the program or its workload has changed"):
        repeated(rehearsal(RACE.replace("LATE", "4")), command, Schedule.parse(run.schedule), HERE)


@pytest.mark.usefixtures("rehearse")
def test_schedules_that_all_pass() -> None:
    """What is reported is the first of them, which is in FIFO order."""
    result = searched(rehearsal(RACE.replace("LATE", "3")), command, 1, HERE)
    assert result.run.found == ("none of 1 schedules fails; what follows is the first of them",)
    assert (result.status, result.run.replay) == (0, "again ")


@pytest.mark.usefixtures("rehearse")
def test_threads_are_not_switched_in_a_cached_property() -> None:
    """Python 3.11 computes it under a lock, at which the other thread would stand still."""
    source = """\
import threading
from functools import cached_property

class Slow:
    @cached_property
    def value(self):
        with threading.Lock():
            return 1

slow = Slow()
threads = [threading.Thread(target=lambda: slow.value) for _ in range(2)]
for each in threads:
    each.start()
for each in threads:
    each.join()
"""
    Path("race.py").write_text(source)
    program = Program("script", "race.py")
    result = searched(Rehearsal(program=program, scenario=load_scenario("calm")), command, 40, HERE)
    assert result.run.kind is None
