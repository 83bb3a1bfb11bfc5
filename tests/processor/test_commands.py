"""Command-line agents: how they are run, how their end is judged, and the call before the work."""

from __future__ import annotations

import json
import os
import shlex
import signal
from datetime import UTC
from pathlib import Path
from typing import Any

import anyio
import pytest

from wavetank.processor import LLMCallStrategy, LLMWorkItem, ParallelBatchProcessor, classify, commands
from wavetank.processor.commands import CommandStrategy
from wavetank.processor.preflight import PREFLIGHT_ID, PreFlight, preflight
from wavetank.processor.processes import ProcessStrategy, WorkError

pytestmark = pytest.mark.anyio

ITEM = LLMWorkItem("row-1", "wave 'n {id} tank")


def agent(script: str, **options: Any) -> CommandStrategy:
    """An agent that is a line of shell; times without a zone are UTC."""
    return CommandStrategy(["sh", "-c", script], **({"tz": UTC} | options))


async def failed(strategy: LLMCallStrategy[str], item: LLMWorkItem[Any] = ITEM) -> WorkError:
    """The error of an agent."""
    with pytest.raises(WorkError) as error:
        await strategy.execute(item)
    return error.value


async def test_a_command_gets_the_prompt_and_gives_its_output(tmp_path: Path) -> None:
    """By the standard input or in an argument, to the letter; folder and environment are its own."""
    assert await agent("cat").execute(ITEM) == ITEM.prompt
    direct = CommandStrategy(["printf", "%s|%s", "{prompt}", "<{id}>"])
    assert await direct.execute(ITEM) == f"{ITEM.prompt}|<row-1>"
    where = agent('pwd; echo "$WHO"', cwd=tmp_path, env={"WHO": "me", "PATH": "/usr/bin:/bin"})
    assert (await where.execute(ITEM)).splitlines() == [str(tmp_path), "me"]
    # It need not read what it is given, and may print more than a pipe holds.
    long = LLMWorkItem("long", "w" * 200_000)
    assert await agent("head -c 300000 /dev/zero | tr '\\0' x").execute(long) == "x" * 300_000
    assert repr(direct) == "<CommandStrategy printf>"


LIMIT = "You've hit your limit · resets 4pm (America/Los_Angeles)"


@pytest.mark.parametrize(
    ("script", "kind"),
    [
        (f"echo {shlex.quote(LIMIT)} >&2; exit 1", "rate-limited"),
        (f"echo {shlex.quote(LIMIT)}; exit 1", "rate-limited"),
        # A message in the shape of a success.
        (f"echo {shlex.quote(LIMIT)}", "rate-limited"),
        ("echo 'Credit balance is too low'; exit 1", "terminal"),
        ("echo 'segmentation fault' >&2; exit 139", "transient"),
    ],
)
async def test_an_end_is_judged_by_exit_code_and_output(script: str, kind: str) -> None:
    """Limits are known by the agents' own sentences, on either stream, and until when."""
    error = await failed(agent(script))
    judged = classify(error)
    assert judged.kind == kind
    if kind == "rate-limited":
        assert judged.retry_after_seconds is not None
        assert 0 < judged.retry_after_seconds <= 86_400


async def test_a_result_file_is_judged_too(tmp_path: Path) -> None:
    """Where the command ends well or says nothing, what it wrote decides; a missing file does not."""
    write = """echo '{"exit_code": 1, "stderr": "Credit balance is too low"}' > row-1.json; """
    options = {"cwd": tmp_path, "result_file": "{id}.json"}
    assert classify(await failed(agent(f"{write} echo done", **options))).kind == "terminal"
    assert classify(await failed(agent(f"{write} exit 1", **options))).kind == "terminal"
    assert await agent("echo done", **options).execute(LLMWorkItem("other", "")) == "done\n"


FOLDER = "res/row-1/.failed/run_01_attempt_01/agent"


def writes(content: object, folder: str = FOLDER, name: str = "result.json") -> str:
    """Shell that writes a file as JSON."""
    return f"mkdir -p {folder}; printf %s {shlex.quote(json.dumps(content))} > {folder}/{name}; "


@pytest.mark.parametrize(
    "pattern",
    [
        f"{FOLDER.replace('row-1', '{id}')}/result.json",
        "res/{id}/.failed/*/agent/result.json",
        "res/{id}/**/result.json",
        "**/*.json",
        "res/{id}/.failed/run_??_attempt_[0-9]*/agent/*",
    ],
)
async def test_result_files_are_found_by_patterns(tmp_path: Path, pattern: str) -> None:
    """Also in folders with a dot before their name; the source of the limit names the file."""
    script = writes({"exit_code": -1, "stderr": f"Rate limit from agent: {LIMIT}"}) + "exit 1"
    judged = classify(await failed(agent(script, cwd=tmp_path, result_file=pattern)))
    assert (judged.kind, judged.resets is not None) == ("rate-limited", True)
    assert judged.source == f"result file {tmp_path / FOLDER / 'result.json'}, stderr, exit code -1"


async def test_a_pattern_finds_what_this_attempt_wrote_and_nothing_older(tmp_path: Path) -> None:
    """What an earlier attempt left counts no more, until it is written again."""
    script = writes({"exit_code": -1, "stderr": LIMIT}) + "exit 1"
    options = {"cwd": tmp_path, "result_file": "res/{id}/.failed/*/agent/result.json"}
    assert classify(await failed(agent(script, **options))).kind == "rate-limited"
    later = classify(await failed(agent("exit 1", **options)))
    assert (later.kind, later.reason) == ("transient", "exit code 1")
    assert await agent("echo done", **options).execute(ITEM) == "done\n"
    assert classify(await failed(agent(script, **options))).kind == "rate-limited"


async def test_the_newest_file_that_says_how_the_run_ended_decides(tmp_path: Path) -> None:
    """A limit that the command overcame itself is none; what is no result says nothing."""
    limited = writes({"exit_code": 1, "stderr": LIMIT}, "a")
    fine = writes({"exit_code": 0, "stdout": "done"}, "b")
    other = writes({"seconds": 3}, "c")
    old, new = "touch -t 200101010000 a/result.json; ", "touch -t 203301010000 {}/result.json; "
    options = {"cwd": tmp_path, "result_file": "*/result.json"}
    overcame = limited + fine + other + old + new.format("b")
    assert await agent(f"{overcame} echo done", **options).execute(ITEM) == "done\n"
    hit = limited + fine + other + new.format("a") + new.format("c")
    assert classify(await failed(agent(f"{hit} exit 1", **options))).kind == "rate-limited"
    torn = "printf '{' > c/result.json; "
    judged = classify(await failed(agent(f"rm -r a b; {torn} echo done", **options)))
    assert (judged.kind, judged.reason) == ("transient", "a result file that cannot be read")
    assert classify(await failed(agent(f"{torn}{limited} exit 1", **options))).kind == "rate-limited"


async def test_an_id_with_the_signs_of_a_pattern_is_itself(tmp_path: Path) -> None:
    """Another item's file is not found by it, and a path may have brackets of its own."""
    item = LLMWorkItem("row-*[1]", "")
    limited = {"exit_code": 1, "stderr": LIMIT}
    both = writes(limited, "row-21") + "exit 1"
    options = {"cwd": tmp_path, "result_file": "{id}/result.json"}
    assert classify(await failed(agent(both, **options), item)).kind == "transient"
    mine = writes(limited, "'row-*[1]'") + "exit 1"
    assert classify(await failed(agent(mine, **options), item)).kind == "rate-limited"
    bracketed = agent(writes(limited, "'a[b]'") + "exit 1", cwd=tmp_path, result_file="a[b]/result.json")
    assert classify(await failed(bracketed)).kind == "rate-limited"


async def test_a_command_that_cannot_be_run_is_an_error() -> None:
    """The error names the program and the fix, and there is no other try."""
    error = await failed(CommandStrategy(["no-such-agent"]))
    assert "cannot run 'no-such-agent'" in str(error)
    assert "install it" in str(error)
    assert classify(error).kind == "terminal"
    with pytest.raises(ValueError, match="command is empty"):
        CommandStrategy([])


def is_held(pipe: int) -> bool:
    """Whether anybody may still write to the pipe."""
    try:
        return os.read(pipe, 1) != b""
    except BlockingIOError:
        return True


async def test_a_cancelled_command_is_killed_with_what_it_started(tmp_path: Path) -> None:
    """A pipe that all of them hold open ends, which it does only when none of them is left."""
    os.mkfifo(tmp_path / "held")
    held = os.open(tmp_path / "held", os.O_RDONLY | os.O_NONBLOCK)
    strategy = agent("exec 3>held; (touch started; exec sleep 600) & wait", cwd=tmp_path)
    try:
        async with anyio.create_task_group() as group:
            group.start_soon(strategy.execute, ITEM)
            with anyio.fail_after(600):
                while not (tmp_path / "started").exists():
                    await anyio.sleep(0.01)
            assert is_held(held)
            group.cancel_scope.cancel()
        with anyio.fail_after(600):
            while is_held(held):
                await anyio.sleep(0.01)
    finally:
        os.close(held)


@pytest.mark.parametrize("end", ["exit 0", "kill -9 $$"])
async def test_what_a_command_leaves_running_is_not_waited_for(
    monkeypatch: pytest.MonkeyPatch, end: str
) -> None:
    """The end of the command counts, and not that of the pipes, which its children may hold."""
    monkeypatch.setattr(commands, "LAST_MOMENT_SECONDS", 0.05)
    with anyio.fail_after(600):
        if end == "exit 0":
            said = await agent(f"sleep 1200 & echo $!; {end}").execute(ITEM)
        else:
            said = (await failed(agent(f"sleep 1200 & echo $!; {end}"))).failed.text.rpartition(": ")[2]
    os.kill(int(said), signal.SIGKILL)


async def test_an_agent_under_the_processor_waits_its_limit_out(tmp_path: Path) -> None:
    """A throttled agent pauses all items, and every item gets its answer."""
    script = "if mkdir first 2>/dev/null; then echo 'Suggested retry after 0.05s.' >&2; exit 1; fi; cat"
    async with ParallelBatchProcessor(agent(script, cwd=tmp_path), workers=2) as processor:
        for number in range(4):
            await processor.add_work(LLMWorkItem(str(number), f"prompt {number}"))
        batch = await processor.process_all()
    assert [result.value for result in batch.results] == [f"prompt {number}" for number in range(4)]


async def test_the_call_before_the_work_says_until_when(tmp_path: Path) -> None:
    """It is clear, limited until a time, or failed with a reason; the strategy is cleaned up."""
    assert await preflight(agent("cat")) == PreFlight()
    assert str(PreFlight()).startswith("clear")
    limited = await preflight(agent(f"echo {shlex.quote(LIMIT)}; exit 1"))
    assert not limited.clear
    assert limited.limited_until is not None
    assert str(limited).startswith("limited until ")
    broken = await preflight(agent("exit 3"))
    assert str(broken).startswith("not clear: exit code 3")
    processes = ProcessStrategy(check)
    found = await preflight(processes, prompt=str(tmp_path))
    assert found.clear, found
    assert "closed, 0 idle" in repr(processes)


def check(item: LLMWorkItem[Any]) -> str:
    """Answers the call before the work, in a worker."""
    assert item.id == PREFLIGHT_ID
    return item.prompt
