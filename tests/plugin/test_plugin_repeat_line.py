"""The line that repeats a failure, pasted as it stands, for each kind of failure; and all failed checks."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable

import pytest

RunPytest = Callable[..., pytest.RunResult]

HASTY = """
    import time
    import openai

    def test_it(tank):
        tank.fake_llm.item_of = lambda request: request.prompt
        tank.ledger.submit("row-1")
        client = openai.OpenAI(max_retries=0)
        time.sleep(1.3)  # the first wave of cascade is under way
        while True:
            try:
                answer = client.chat.completions.create(
                    model="m", messages=[{"role": "user", "content": "row-1"}]
                )
                break
            except openai.RateLimitError:
                time.sleep(1)
        tank.ledger.complete("row-1", answer.choices[0].message.content)
"""

LOSES = """
    def test_it(tank):
        tank.ledger.submit("row-1")
"""

EXPLORED = """
    import anyio
    import wavetank

    @wavetank.explore(scenario="calm", schedules=3, backends=("asyncio",))
    async def test_it(tank):
        tank.ledger.submit("row-1")
        {body}
"""

RAISES = "raise RuntimeError('the program broke')"
SPINS = "await anyio.Event().wait()"
ASKS_TWICE = """[await tank.fake_llm.call("x", item="row-1") for _ in range(2)]
        tank.expect(requests_per_item=1)
        tank.ledger.complete("row-1")"""
CHECKS_ITSELF = "tank.fake_llm.check(exactly_once=['row-1'])"

POLLS = """
    import time

    def test_it(fake_llm):
        while True:
            time.sleep(0.1)
"""

CASES = {
    "lost": (LOSES, ("--llm-scenario=cascade",), "exactly_once failed"),
    "lost, ini scenario given with -o": (LOSES, ("-o", "llm_scenario=cascade"), "exactly_once failed"),
    "real time": (LOSES, ("--llm-clock=real", "--llm-seed=3"), "exactly_once failed"),
    "checks of the command line": (
        HASTY,
        ("--llm-scenario=cascade", "--llm-checks=retry_after"),
        "retry_after failed",
    ),
    "checks given with -o": (
        HASTY,
        ("--llm-scenario=cascade", "-o", "llm_checks=retry_after"),
        "retry_after failed",
    ),
    "CPU time": (POLLS, ("--llm-max-cpu-seconds=0.01",), "liveness failed: overrun: *computed for so long"),
    "explored CPU time": (
        EXPLORED.format(body="while True: await anyio.sleep(0.1)"),
        ("--llm-max-cpu-seconds=0.01",),
        "liveness failed: overrun: *computed for so long",
    ),
    "error": (LOSES + f"        {RAISES}\n", ("--llm-scenario=calm",), "RuntimeError: the program broke"),
    "explored error": (EXPLORED.format(body=RAISES), (), "RuntimeError: the program broke"),
    "explored deadlock": (EXPLORED.format(body=SPINS), (), "liveness failed: deadlock"),
    "explored checks": (EXPLORED.format(body=ASKS_TWICE), ("--llm-checks=no_storm",), "no_storm failed"),
    "explored, checked by the test": (EXPLORED.format(body=CHECKS_ITSELF), (), "exactly_once failed"),
}


@pytest.mark.parametrize("case", CASES)
def test_the_line_fails_again_when_it_is_pasted(
    pytester: pytest.Pytester, run_pytest: RunPytest, case: str
) -> None:
    """The line has every option that decided the failure."""
    source, given, message = CASES[case]
    pytester.makepyfile(source)
    first = run_pytest(*given)
    first.assert_outcomes(failed=1)
    first.stdout.fnmatch_lines([f"*{message}*"])
    found = re.search(r"to repeat it: pytest (.+)", first.stdout.str())
    assert found is not None, "the failure has no line that repeats it"
    again = run_pytest(*shlex.split(found[1]))
    again.assert_outcomes(failed=1)
    again.stdout.fnmatch_lines([f"*{message}*"])


def test_all_failed_checks_are_named(pytester: pytest.Pytester, run_pytest: RunPytest) -> None:
    """The worst comes first with its evidence, the others in a line each; `-vv` shows theirs, too."""
    pytester.makepyfile(HASTY)
    options = ("--llm-scenario=cascade", "--llm-checks=strict")
    result = run_pytest(*options)
    result.stdout.fnmatch_lines(
        [
            "* checks failed: retry_after, shared_pause, no_storm",
            "retry_after failed: *",
            "  at 0s: submitted*",
            "shared_pause failed: *",
            "no_storm failed: *",
            "to repeat it: *",
        ]
    )
    short = result.outlines.index(next(line for line in result.outlines if line.startswith("shared_pause")))
    assert result.outlines[short + 1].startswith("no_storm failed: ")
    whole = run_pytest(*options, "-vv")
    full = whole.outlines.index(next(line for line in whole.outlines if line.startswith("shared_pause")))
    assert whole.outlines[full + 1].startswith("  ")


def test_a_check_inside_an_explored_test_is_reported_with_its_schedule(
    pytester: pytest.Pytester, run_pytest: RunPytest
) -> None:
    """`fake_llm.check` in the program raises; the report says in which schedule, and how to repeat it."""
    pytester.makepyfile(EXPLORED.format(body=CHECKS_ITSELF))
    result = run_pytest()
    result.stdout.fnmatch_lines(
        [
            "exactly_once failed: *",
            "error (CheckFailed) in schedule 1 of the search*",
            "schedule: plain FIFO*",
        ]
    )
