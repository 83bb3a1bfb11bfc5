"""Programs of every kind, run as they are in virtual time."""

from __future__ import annotations

import json
import sys
import textwrap
from pathlib import Path

import pytest

from wavetank.rehearsal.program import Program

from .conftest import ASK, Rehearse


def test_a_script_that_works(rehearse: Rehearse) -> None:
    """It waits out the wave in virtual time, and writes its file where it wants to."""
    source = (
        ASK
        + "import pathlib\nanswers = [ask(str(n), tries=3) for n in range(4)]\n"
        + "pathlib.Path('out.txt').write_text(' '.join(answers))\n"
    )
    result = rehearse(source, "waves.toml")
    assert result.status == 0
    assert result.run.events.of("refused")
    assert 10 < result.run.virtual_seconds < 20
    assert Path("out.txt").read_text().count("[wt:") == 4


def test_the_program_finds_what_python_gives_it(
    rehearse: Rehearse, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its arguments, name, file and folder, and itself in `sys.modules`."""
    monkeypatch.delenv("PYTHONSAFEPATH", raising=False)
    source = """\
    import json, pathlib, sys
    seen = [sys.argv, __name__, __file__, sys.path[0], sys.modules["__main__"].seen_here, __spec__]
    pathlib.Path("seen.json").write_text(json.dumps(seen))
    """
    source = "seen_here = True\n" + textwrap.dedent(source)
    Path("tools").mkdir()
    Path("tools", "it.py").write_text(source)
    rehearse(Program("script", "tools/it.py", ("--input", "rows.csv")))
    folder = str((tmp_path / "tools").resolve())
    assert json.loads(Path("seen.json").read_text()) == [
        ["tools/it.py", "--input", "rows.csv"],
        "__main__",
        str(tmp_path / "tools" / "it.py"),
        folder,
        True,
        None,
    ]


def test_a_module_and_a_package(rehearse: Rehearse, tmp_path: Path) -> None:
    """As `python -m` runs them: relative imports work, and the working directory comes first."""
    package = tmp_path / "rehearsed_package"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "parts.py").write_text("NUMBER = 3\n")
    (package / "__main__.py").write_text(
        "import pathlib, sys\nfrom .parts import NUMBER\n"
        "pathlib.Path('seen').write_text(f'{__name__} {sys.argv[1:]} {NUMBER}')\n"
    )
    rehearse(Program("module", "rehearsed_package", ("a",)))
    assert Path("seen").read_text() == "__main__ ['a'] 3"
    assert sys.path[0] == str(tmp_path)


def test_a_folder_with_a_main_module(rehearse: Rehearse) -> None:
    """As `python FOLDER` runs it."""
    Path("tool").mkdir()
    Path("tool", "__main__.py").write_text("import helper\n")
    Path("tool", "helper.py").write_text("import pathlib\npathlib.Path('seen').write_text(__name__)\n")
    assert rehearse(Program("script", "tool")).run.error is None
    assert Path("seen").read_text() == "helper"


def test_a_function(rehearse: Rehearse) -> None:
    """Plain or a coroutine function; a whole number that it returns is the exit status."""
    Path("rehearsed_jobs.py").write_text(
        "import asyncio\n"
        "class Jobs:\n"
        "    @staticmethod\n"
        "    async def nightly():\n"
        "        await asyncio.sleep(3600)\n"
        "        return {'rows': 3}\n"
        "def fails():\n"
        "    return 4\n"
    )
    nightly = rehearse(Program("function", "rehearsed_jobs:Jobs.nightly"))
    assert nightly.run.error is None
    assert nightly.run.virtual_seconds == 3600
    fails = rehearse(Program("function", "rehearsed_jobs:fails"))
    assert fails.run.value is not None
    assert (fails.status, fails.run.value.exit) == (2, 4)
    unknown = rehearse(Program("function", "rehearsed_jobs:asynci"))
    assert unknown.run.value is not None
    assert unknown.run.value.not_found == "rehearsed_jobs has no function 'asynci'"


@pytest.mark.parametrize(
    ("program", "said"),
    [
        (Program("module", "no_such_module_here"), "there is no module 'no_such_module_here'"),
        (Program("module", "script.py"), "a file is named without -m"),
        (Program("module", "json.nothing"), "there is no module 'json.nothing'"),
        (Program("module", "email"), "the package 'email' has no module __main__"),
        (Program("function", "json:dmps"), "json has no function 'dmps'; did you mean 'dumps'?"),
        (Program("function", "json:__doc__"), "json:__doc__ is no function: str cannot be called"),
        (Program("script", "empty"), "empty has no module __main__"),
    ],
)
def test_a_program_that_is_not_there(rehearse: Rehearse, program: Program, said: str) -> None:
    """The text says what to write instead."""
    Path("empty").mkdir()
    end = rehearse(program).run.value
    assert end is not None
    assert said in end.not_found
    assert end.failed


ENGINES = {
    "asyncio": "import asyncio\nasyncio.run(main())\n",
    "trio": "import trio\ntrio.run(main)\n",
    "anyio": "import anyio\nanyio.run(main)\n",
    "a loop by hand": "import asyncio\nloop = asyncio.new_event_loop()\n"
    "loop.run_until_complete(main())\nloop.close()\n",
    "the policy's loop": "import asyncio\nloop = asyncio.get_event_loop_policy().new_event_loop()\n"
    "loop.run_until_complete(main())\nloop.close()\n",
}


@pytest.mark.parametrize("engine", ENGINES)
def test_asynchronous_programs(rehearse: Rehearse, engine: str) -> None:
    """Their requests overlap, and their waits take virtual time."""
    source = """\
import anyio, httpx

client = httpx.AsyncClient()

async def ask(number):
    for _ in range(3):
        answer = await client.post(
            "https://api.openai.com/v1/chat/completions",
            headers={"authorization": "Bearer k"},
            json={"model": "m", "messages": [{"role": "user", "content": f"Say {number}."}]},
        )
        if answer.status_code == 200:
            return
        await anyio.sleep(float(answer.headers["retry-after"]) + number / 10)

async def main():
    async with anyio.create_task_group() as group:
        for number in range(5):
            group.start_soon(ask, number)
        await anyio.sleep(0.6)
        group.start_soon(ask, 5)

"""
    result = rehearse(source + ENGINES[engine], "waves.toml")
    assert result.status == 0, result.run.report()
    assert 10 < result.run.virtual_seconds < 12
    assert len(result.run.events.of("arrived")) > 6


def test_threads_and_a_pool(rehearse: Rehearse) -> None:
    """They overlap in virtual time."""
    source = (
        ASK + "from concurrent.futures import ThreadPoolExecutor\n"
        "with ThreadPoolExecutor(6) as pool:\n"
        "    assert all(pool.map(lambda n: ask(str(n), tries=3), range(12)))\n"
    )
    result = rehearse(source, "waves.toml")
    assert result.status == 0, result.run.report()
    assert result.run.virtual_seconds < 12


def test_two_runs_give_the_same_log(rehearse: Rehearse) -> None:
    """Byte by byte."""
    source = (
        ASK + "from concurrent.futures import ThreadPoolExecutor\n"
        "with ThreadPoolExecutor(3) as pool:\n"
        "    list(pool.map(lambda n: ask(str(n), tries=3), range(6)))\n"
    )
    first, again = (rehearse(source, "waves.toml", seed=3).run.events.to_ndjson() for _ in range(2))
    assert first == again


@pytest.mark.parametrize(
    ("ending", "status", "exit"),
    [
        ("sys.exit()", 0, None),
        ("sys.exit(0)", 0, None),
        ("sys.exit(3)", 2, 3),
        ("sys.exit('no rows')", 2, "no rows"),
        ("os._exit(0)", 0, None),
        ("os._exit(5)", 2, 5),
        ("raise KeyboardInterrupt", 2, None),
    ],
)
def test_how_a_program_may_end(rehearse: Rehearse, ending: str, status: int, exit: object) -> None:
    """By its exit status, which need not be an error."""
    result = rehearse(f"{ASK}import os, sys\nask('a')\n{ending}\n")
    assert result.run.value is not None
    assert (result.status, result.run.value.exit) == (status, exit)
    assert len(result.run.events.of("delivered")) == 1


def test_the_traceback_has_the_program_s_own_lines(rehearse: Rehearse) -> None:
    """Neither those of libraries nor the errors behind it in them."""
    source = ASK + "def work():\n    client.get('https://nowhere.example/')\n\nwork()\n"
    result = rehearse(source)
    assert result.run.value is not None
    lines = result.run.value.traceback.splitlines()
    assert [line.split(", ")[2] for line in lines if "File" in line] == ["in <module>", "in work"]
    assert "UnknownHost" in lines[-1]
    assert "direct cause" not in result.run.value.traceback


def test_an_error_behind_an_error_is_shown_with_its_own_lines(rehearse: Rehearse) -> None:
    """If it comes from the program."""
    result = rehearse(
        "try:\n    {}['a']\nexcept KeyError as error:\n    raise ValueError('row') from error\n"
    )
    assert result.run.value is not None
    traceback = result.run.value.traceback
    assert "KeyError: 'a'" in traceback
    assert "direct cause" in traceback
    assert traceback.endswith("ValueError: row")


def test_no_key_is_in_a_traceback(rehearse: Rehearse) -> None:
    """A key that the program sent is replaced by its label."""
    key = "sk-live-" + "0123456789abcdef"
    source = ASK.replace("Bearer k", f"Bearer {key}") + f"ask('a')\nraise ValueError('{key}')\n"
    result = rehearse(source)
    assert result.run.value is not None
    assert key not in result.run.value.traceback.splitlines()[-1]
    assert "key-1" in result.run.value.traceback


def test_another_process_is_refused(rehearse: Rehearse) -> None:
    """It would meet no fake."""
    source = "import multiprocessing\nmultiprocessing.get_context('spawn').Process(target=print).start()\n"
    result = rehearse(source)
    assert result.run.value is not None
    assert "a rehearsal has one process" in result.run.value.traceback


def test_a_host_of_one_s_own(rehearse: Rehearse) -> None:
    """It is answered for in the dialect that is named, and refused else."""
    source = ASK.replace("api.openai.com", "llm.corp.example") + "ask('a')\n"
    assert rehearse(source, hosts=("llm.corp.example=openai",)).status == 0
    assert "llm.corp.example" in rehearse(source + "\n").run.verdicts["hosts"].summary
