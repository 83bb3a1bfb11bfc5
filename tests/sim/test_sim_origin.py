"""Who and where: the task's name and the user's own frame, the same on every machine."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

import pytest

from wavetank.sim import origin
from wavetank.sim.origin import name_of_file, place_of_error, place_of_frame, set_project

HERE = "tests/sim/test_sim_origin.py"
ROOT = Path(__file__).parents[2]
SITE = os.path.join(os.sep, "venv", "lib", "python3.11", "site-packages")
GRAB = "import sys\nframe = sys._getframe()"


@pytest.fixture(autouse=True)
def project() -> Iterator[None]:
    before = list(origin._project)
    set_project(ROOT)
    yield
    set_project(before[0] if before else os.getcwd())


def frame_in(file: str, **module: object) -> FrameType:
    """A frame whose code comes from this file, called by this function."""
    names: dict[str, object] = dict(module)
    exec(compile(GRAB, file, "exec"), names)
    frame = names["frame"]
    assert isinstance(frame, FrameType)
    return frame


@pytest.mark.parametrize(
    "file",
    [
        pytest.param(os.path.join(SITE, "client", "api.py"), id="installed"),
        pytest.param(asyncio.__file__, id="standard"),
        pytest.param(os.path.join(os.path.dirname(origin.__file__), "host.py"), id="wavetank"),
        pytest.param("<frozen runpy>", id="frozen"),
    ],
)
def test_frames_of_others_are_passed_over(file: str) -> None:
    """The place is that of the innermost frame of the user's own, which called them."""
    frame = frame_in(file)
    assert frame.f_back is not None
    assert place_of_frame(frame) == (HERE, frame.f_back.f_lineno)


def test_a_file_is_named_relative_to_the_project(tmp_path: Path) -> None:
    """With forward slashes; outside of the project no folder of the machine is named."""
    assert name_of_file(__file__) == HERE
    set_project(tmp_path)
    assert name_of_file(os.path.join(tmp_path, "app", "jobs.py")) == "app/jobs.py"
    assert name_of_file(os.path.join(os.sep, "elsewhere", "tool.py")) == "tool.py"
    assert name_of_file(os.path.join(SITE, "client", "api.py")) == "client/api.py"


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("<string>", "<string>"),
        ("<ipython-input-3-ab12>", "<ipython-input-3-ab12>"),
        (os.path.join(os.sep, "tmp", "ipykernel_4711", "99.py"), "<notebook>"),
    ],
)
def test_a_program_without_a_file_has_a_place(file: str, name: str) -> None:
    """A string and a cell of a notebook are the user's own; no process number gets into the name."""
    assert place_of_frame(frame_in(file)) == (name, 2)


def test_a_text_that_a_library_compiled_is_the_librarys() -> None:
    """Such as the `__init__` of a data class in an installed package."""
    found = place_of_frame(frame_in("<string>", __file__=os.path.join(SITE, "client", "api.py")))
    assert found is not None
    assert found[0] == HERE


def ran(folder: Path, *command: str, **variables: str) -> object:
    told = subprocess.run(
        [sys.executable, *command],
        cwd=folder,
        capture_output=True,
        text=True,
        check=True,
        timeout=600,
        env={**os.environ, **variables},
    )
    return json.loads(told.stdout)


ASK = """
import json, sys
from wavetank.sim.origin import place_of_frame

def ask(**options):
    print(json.dumps(place_of_frame(sys._getframe(), **options)))
"""


def test_a_program_in_an_installed_package_has_a_place(tmp_path: Path) -> None:
    """Its own innermost frame counts, not that of the HTTP client which it calls."""
    site = tmp_path / "site-packages"
    for package, files in {
        "client": {"__init__": ASK},
        "tool": {"__init__": "", "__main__": "from .work import go\ngo()", "work": WORK},
    }.items():
        (site / package).mkdir(parents=True)
        for name, text in files.items():
            (site / package / f"{name}.py").write_text(text)
    assert ran(tmp_path, "-m", "tool", PYTHONPATH=str(site)) == ["tool/work.py", 4]


WORK = """from client import ask

def go():
    ask()
"""


def test_a_step_is_not_blamed_on_what_runs_the_loop(tmp_path: Path) -> None:
    """A task without a frame of the user's own has no place, though the user's file runs the loop."""
    (tmp_path / "site-packages").mkdir()
    (tmp_path / "site-packages" / "client.py").write_text(ASK + "\nasync def later(): ask(fallback=False)")
    (tmp_path / "main.py").write_text(
        "import asyncio, client\nasync def main():\n    await asyncio.create_task(client.later())\n"
        "asyncio.run(main())\n"
    )
    assert ran(tmp_path, "main.py", PYTHONPATH=str(tmp_path / "site-packages")) is None


def test_the_project_is_found_from_a_folder_within(tmp_path: Path) -> None:
    """Started in a folder of the project, a program has its files named from the project's root."""
    (tmp_path / "pyproject.toml").touch()
    (tmp_path / "app").mkdir()
    (tmp_path / "app" / "main.py").write_text(f"{ASK}ask()")
    assert ran(tmp_path / "app", "main.py") == ["app/main.py", 6]


def test_the_place_of_an_error_is_in_the_program() -> None:
    """The last of the program's own frames, though a library raised the error further in."""
    with pytest.raises(json.JSONDecodeError) as raised:
        json.loads("{")
    place = place_of_error(raised.value)
    assert place is not None
    assert place[0] == HERE
