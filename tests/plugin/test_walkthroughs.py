"""The walk-throughs of the documentation: their files are made and their commands print what they show."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from .page_blocks import PAGES, assert_printed, blocks, commands, is_walkthrough, write

RunPytest = Callable[..., pytest.RunResult]

NOT_RUN = ("python -m venv", ". .venv", "python -m pip", "pip ")
"""Set-up, which the tests have behind them."""

TOKEN = re.compile(r"--llm-replay=(wt1-[\w-]+)")


WALKTHROUGHS = [page for page in PAGES if is_walkthrough(page)]

ON_3_11 = pytest.mark.skipif(
    sys.version_info[:2] != (3, 11), reason="shows a schedule of Python 3.11: event loops differ"
)


@pytest.mark.parametrize(
    "page",
    [
        pytest.param(page, id=page.stem, marks=ON_3_11 if page.stem == "tutorial" else ())
        for page in WALKTHROUGHS
    ],
)
def test_a_walkthrough_prints_what_it_shows(
    page: Path, pytester: pytest.Pytester, run_pytest: RunPytest
) -> None:
    """Each file is written and each command run, in the order of the page."""
    token = ""
    for block in blocks(page):
        if block.file is not None:
            write(block, pytester.path)
        elif block.language == "console":
            for command, shown in commands(block):
                if " ".join(command).startswith(NOT_RUN):
                    continue
                # A token changes with the program; the line that the run before printed has today's.
                asked = [TOKEN.sub(f"--llm-replay={token}", word) for word in command]
                printed = run(asked, pytester, run_pytest)
                assert_printed(shown, printed)
                token = (TOKEN.findall("\n".join(printed)) or [token])[-1]


def run(command: list[str], pytester: pytest.Pytester, run_pytest: RunPytest) -> list[str]:
    """What a command prints to the standard output."""
    program, *arguments = command
    if program == "pytest":
        return run_pytest("-W", "error", *arguments, plugins=None).outlines
    module = {"wavetank": ["-m", "wavetank"], "python": []}[program]
    return pytester.run(sys.executable, *module, *arguments, timeout=600).outlines


MANY = """
import asyncio

from labels import label_all

TICKETS = [f"ticket-{number}" for number in range(1, 41)]


async def label_the_tickets(tank):
    tank.fake_llm.item_of = lambda request: request.prompt.removeprefix("Label ").removesuffix(".")
    for ticket in TICKETS:
        tank.ledger.submit(ticket)
    await label_all(TICKETS, save=tank.ledger.complete)


def test_many(tank):
    asyncio.run(label_the_tickets(tank))
"""


@pytest.mark.parametrize("scenario", ["retry-after-forms", "second-wave"])
def test_the_program_of_the_tutorial_may_be_copied(
    scenario: str, pytester: pytest.Pytester, run_pytest: RunPytest
) -> None:
    """With more tickets at once it passes where Retry-After is a date, and in the scenario advised next."""
    (page,) = (page for page in WALKTHROUGHS if page.stem == "tutorial")
    for block in blocks(page):
        if block.file == "labels.py":
            write(block, pytester.path)
    program = pytester.path / "labels.py"
    program.write_text(program.read_text("utf-8").replace("Semaphore(2)", "Semaphore(12)"), "utf-8")
    pytester.makepyfile(test_many=MANY)
    run_pytest("test_many.py", f"--llm-scenario={scenario}", plugins=None).assert_outcomes(passed=1)
