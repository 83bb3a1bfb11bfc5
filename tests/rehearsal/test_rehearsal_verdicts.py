"""What is judged of a program that keeps no ledger, and what is said of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from wavetank.rehearsal.ending import ending
from wavetank.rehearsal.items import items_of
from wavetank.rehearsal.job import Rehearsal
from wavetank.rehearsal.program import Program
from wavetank.rehearsal.rehearse import Rehearsed
from wavetank.scenario import load_scenario

from .conftest import ASK, Rehearse

ASK_ALL = ASK + "print([ask(f'row-{n}') for n in range(4)])\n"


def said(result: Rehearsed) -> str:
    """What the command prints."""
    return "\n".join(ending(result.run, "script.py"))


def test_a_lost_row(rehearse: Rehearse) -> None:
    """A program that swallows a refusal and goes on fails, with the item's history."""
    result = rehearse(ASK_ALL, "waves.toml")
    assert result.status == 1
    verdict = result.run.verdicts["every_item_answered"]
    assert verdict.passed is False
    assert verdict.summary == "item 'row-2' never got an answer, after 1 request"
    assert any("was refused with 429" in line for line in verdict.evidence)
    assert "4 items: 3 answered, 3 of them at the first request, 1 never answered" in said(result)
    assert "  'row-2': refused once (429), never answered" in said(result)
    assert "2. No refused request was sent again." in said(result)


def test_a_row_that_is_refused_for_good_is_given_up_rightly(rehearse: Rehearse) -> None:
    """Unless no item got an answer."""
    refusing = '[[wave]]\nat = "0s"\nlasts = "10s"\nstatus = 400\nmatch = { item = "%s" }\n'
    scenario = 'title = "For good"\n' + refusing
    Path("one.toml").write_text(scenario % "row-1")
    Path("all.toml").write_text(scenario % "row-*")
    result = rehearse(ASK_ALL, "one.toml")
    assert result.status == 0
    assert "1 refused for good" in said(result)
    assert "'row-1': refused once (400), refused for good" in said(result)
    assert rehearse(ASK_ALL, "all.toml").run.verdicts["every_item_answered"].passed is False


def test_a_row_that_is_paid_twice(rehearse: Rehearse) -> None:
    """The same question for the same item, though it had its answer."""
    twice = ASK + "ask('a')\nask('b')\nask('a')\n"
    result = rehearse(twice)
    assert result.status == 1
    assert result.run.verdicts["paid_once"].summary == "item 'a' was paid 2 times for the same question"
    assert rehearse(twice, paid_per_item=2).status == 0


def test_steps_of_one_item_are_no_repetition(rehearse: Rehearse) -> None:
    """Two questions for one item are paid once each."""
    assert rehearse(ASK + "ask('a', 'Draft it.')\nask('a', 'Criticize it.')\n").status == 0


def test_rows_that_are_alike_are_not_judged(rehearse: Rehearse) -> None:
    """Where the program names no item, one prompt may be that of two rows."""
    result = rehearse(ASK + "ask('a', named=False)\nask('a', named=False)\n")
    verdict = result.run.verdicts["paid_once"]
    assert (verdict.passed, result.status) == (None, 0)
    assert "--item-from REGEX" in verdict.summary


@pytest.mark.parametrize("pattern", [r"row-\d+", r"Say (row-\d+)\."])
def test_items_are_found_in_prompts(rehearse: Rehearse, pattern: str) -> None:
    """By the first group, or the whole match; they count as named."""
    source = ASK + "for n in (1, 2, 1):\n    ask(f'row-{n}', named=False)\n"
    result = rehearse(source, item_from=pattern)
    assert result.run.value is not None
    found = items_of(result.run.events, result.run.value.asked_before)
    assert [(each.item, each.named, each.answered) for each in found] == [
        ("row-1", True, 2),
        ("row-2", True, 1),
    ]
    assert result.run.verdicts["paid_once"].passed is False


def test_a_program_without_a_request(rehearse: Rehearse) -> None:
    """There is nothing to judge, and the text says what to try."""
    result = rehearse("import sys\n")
    assert result.status == 2
    assert "the program sent no request to a provider, so nothing was rehearsed" in said(result)
    assert "give them behind `--`" in said(result)
    assert "not judged" not in said(result)


def test_a_deadlock(rehearse: Rehearse) -> None:
    """It is named with the task and its place, and the end of the program is not made up."""
    stuck = "import asyncio\nasync def main():\n    await asyncio.Event().wait()\nasyncio.run(main())\n"
    source = f"{ASK}ask('a')\n{stuck}"
    result = rehearse(source)
    assert (result.status, result.run.kind) == (1, "deadlock")
    assert "at main (script.py:" in said(result)
    assert "in real time it takes" not in said(result)


def test_a_program_that_never_ends(rehearse: Rehearse) -> None:
    """The budget of virtual time ends it."""
    result = rehearse(ASK + "while True:\n    ask('a')\n    time.sleep(60)\n", max_virtual_seconds=600)
    assert result.status == 1
    assert result.run.verdicts["liveness"].passed is False


def test_a_program_that_fails(rehearse: Rehearse) -> None:
    """What it raised is said, and what cannot be judged then is left out."""
    result = rehearse(ASK + "ask('a')\nraise ValueError('no such row')\n")
    assert result.status == 2
    assert "the program failed: ValueError: no such row" in said(result)
    assert "not judged" not in said(result)
    assert said(result).endswith("to repeat it: the same again")


def test_what_is_seen_and_not_counted(rehearse: Rehearse) -> None:
    """An item that comes back too early costs a refusal, and a wave that met no request proves nothing."""
    early = (
        ASK.replace('float(answer.headers.get("retry-after", 1))', "6")
        + "ask('a')\nask('b')\nask('c', tries=9)\n"
    )
    result = rehearse(early, "waves.toml")
    assert result.status == 0
    assert "also seen, and not counted: retry_after: item 'c' asked again" in said(result)
    unmet = rehearse(ASK + "ask('a')\n", "waves.toml")
    assert "the run says nothing about part of the scenario: wave 1 met no request" in said(unmet)


def test_the_result_as_plain_values(rehearse: Rehearse) -> None:
    """It has the items, the verdicts and the status."""
    result = rehearse(ASK_ALL, "waves.toml")
    rehearsal = Rehearsal(program=Program("script", "script.py"), scenario=load_scenario("waves.toml"))
    values = result.values(rehearsal)
    assert (values["format"], values["version"]) == ("wavetank-rehearsal", 1)
    assert (values["result"], values["status"], values["schedules"]) == ("verdict failed", 1, 1)
    assert [item["item"] for item in values["items"] if item["lost"]] == ["row-2"]
    assert {"liveness", "paid_once"} <= {verdict["name"] for verdict in values["verdicts"]}
