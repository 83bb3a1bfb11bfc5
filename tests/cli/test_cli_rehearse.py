"""`wavetank rehearse`, as a user runs it: a few times in a process of its own, as every rehearsal is."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from wavetank.cli import main
from wavetank.rehearsal.fresh_process import environment

SCRIPT = """\
import argparse, atexit, csv, os, threading
import httpx

parser = argparse.ArgumentParser()
parser.add_argument("--input")
rows = [row["id"] for row in csv.DictReader(open(parser.parse_args().input))]
answers = {}

def ask(row):
    answer = httpx.post(
        "https://api.openai.com/v1/chat/completions",
        headers={"authorization": f"Bearer {os.environ['OPENAI_API_KEY']}"},
        json={"model": "m", "messages": [{"role": "user", "content": f"Translate {row}."}]},
    )
    answers[row] = answer.json()["choices"][0]["message"]["content"]

for row in rows:
    threading.Thread(target=ask, args=(row,)).start()

@atexit.register
def save():
    with open("out.csv", "w") as file:
        csv.writer(file).writerows(answers.items())
    open(".coverage.box", "w").close()  # as coverage, which is no part of the program, does
    print(f"{len(answers)} answers with the key {os.environ['OPENAI_API_KEY']}")
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with a script and its input, and a real key in the environment."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OPENAI_API_KEY", "sk-real")
    Path("batch.py").write_text(SCRIPT)
    Path("rows.csv").write_text("id\nrow-1\nrow-2\nrow-3\n")
    return tmp_path


def test_a_script_in_a_process_of_its_own(capfd: pytest.CaptureFixture[str]) -> None:
    """It ends as in Python, by its threads and then `atexit`, and it never sees the real key."""
    words = ["--item-from", r"row-\d", "--sandbox", "box", "--html", "t.html", "--json", "t.json"]
    assert main(["rehearse", "batch.py", *words, "--trace", "t.trace", "--", "--input", "rows.csv"]) == 0
    said = capfd.readouterr().out
    assert "3 answers with the key sk-wavetank" in said
    assert "wavetank: batch.py in 'calm' with seed 0: " in said
    assert "wavetank: 3 items: 3 answered, 3 of them at the first request" in said
    assert "wavetank: it wrote box/out.csv\n" in said
    assert said.splitlines()[-2].endswith(r"--item-from 'row-\d' --sandbox box -- --input rows.csv")
    assert Path("box", "out.csv").read_text().count("row-") == 6
    assert not Path("out.csv").exists()
    assert "<title>batch.py: passed</title>" in Path("t.html").read_text("utf-8")
    assert json.loads(Path("t.trace").read_bytes())["traceEvents"]
    assert [each["item"] for each in json.loads(Path("t.json").read_bytes())["items"]] == [
        "row-1",
        "row-2",
        "row-3",
    ]


def test_a_script_that_fails(capfd: pytest.CaptureFixture[str]) -> None:
    """Its traceback is on the standard error, and the status is 2."""
    Path("fails.py").write_text("import no_such_library_here\n")
    assert main(["rehearse", "fails.py"]) == 2
    said = capfd.readouterr()
    assert said.err.splitlines()[-1] == "ModuleNotFoundError: No module named 'no_such_library_here'"
    assert "wavetank: it had sent no request by then" in said.out


def test_a_process_that_ends_itself(capfd: pytest.CaptureFixture[str]) -> None:
    """Nothing can be judged, and the text says how it ended."""
    Path("killed.py").write_text("import os, signal\nos.kill(os.getpid(), signal.SIGKILL)\n")
    assert main(["rehearse", "killed.py"]) == 2
    assert "the process of the program ended by SIGKILL" in capfd.readouterr().err


def test_a_program_that_catches_its_end(capfd: pytest.CaptureFixture[str]) -> None:
    """It is ended all the same, and judged."""
    Path("forever.py").write_text(
        "import time\nwhile True:\n    try:\n        time.sleep(60)\n"
        "    except BaseException:\n        pass\n"
    )
    assert main(["rehearse", "forever.py", "--max-virtual-seconds", "600"]) == 1
    assert "wavetank: liveness failed: overrun" in capfd.readouterr().out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "name one program: wavetank rehearse [OPTIONS] SCRIPT"),
        (["batch.py", "-m", "json"], "name one program"),
        (["btch.py"], "there is no file 'btch.py' in .: did you mean 'batch.py'?"),
        (["batch"], "there is no file 'batch': if it is a module, write -m batch"),
        (["batch.py:main"], "a function is named by its module, without .py: batch:main"),
        (["batch.py", "--scenario", "casade"], "did you mean 'cascade'"),
        (["batch.py", "--item-from", "("], "--item-from '(' is no regular expression"),
        (["batch.py", "--host", "corp"], "--host corp: "),
        (["batch.py", "--html", "no/t.html"], "--html no/t.html: there is no folder 'no'"),
        (["batch.py", "--schedules", "2", "--sandbox", "box"], "--sandbox is for one run"),
        (["batch.py", "--replay", "wt1-x"], "is damaged: copy the whole token"),
    ],
)
def test_wrong_arguments(words: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Each is named with the way out, before anything runs."""
    assert main(["rehearse", *words]) == 2
    assert said in capsys.readouterr().err


def test_arguments_of_the_program_without_dashes(capsys: pytest.CaptureFixture[str]) -> None:
    """The error says where they belong."""
    with pytest.raises(SystemExit):
        main(["rehearse", "batch.py", "--input", "rows.csv"])
    assert "the arguments of the program stand behind --" in capsys.readouterr().err


def test_the_environment_of_the_program() -> None:
    """Every key is a dummy, other names of it too, and sets have the same order in each run."""
    given = {"OPENAI_API_KEY": "sk-real", "GOOGLE_API_KEY": "real", "PATH": "p", "PYTHONHASHSEED": "random"}
    found = environment(given)
    assert found["PATH"] == "p"
    assert found["PYTHONHASHSEED"] == "0"
    assert not {"sk-real", "real"} & {*found.values()}
    assert environment({"PYTHONHASHSEED": "7"}) == {"PYTHONHASHSEED": "7"}
    assert {*environment(dict(os.environ))} >= {*os.environ}
