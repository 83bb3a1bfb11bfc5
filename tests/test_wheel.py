"""What the wheel holds, and that it works away from the source tree, on every Python at hand."""

from __future__ import annotations

import configparser
import os
import shutil
import subprocess
import sys
import tomllib
import zipfile
from email.parser import Parser
from importlib.metadata import distribution
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from .depth import DEEP

ROOT = Path(__file__).parents[1]
DEMO = ROOT / "examples" / "demo"
PYTHONS = ("3.11", "3.13")
CATALOGUE = sorted(file.name for file in (ROOT / "scenarios").glob("*.toml"))


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built once by hatchling."""
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    built = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stderr
    (file,) = folder.glob("*.whl")
    return file


@pytest.fixture(scope="session")
def names(wheel: Path) -> set[str]:
    """The names of the files in the wheel."""
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


@pytest.fixture(scope="session")
def unpacked(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the files of the wheel, far from the source tree."""
    folder = tmp_path_factory.mktemp("unpacked")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder)
    return folder


def read(wheel: Path, name: str) -> str:
    """The text of one file of the wheel's metadata."""
    with zipfile.ZipFile(wheel) as archive:
        return archive.read(f"wavetank-0.1.0.dist-info/{name}").decode()


def run_in(unpacked: Path, code: str) -> str:
    """What `code` prints in a new interpreter that finds wavetank in `unpacked` first."""
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=unpacked.parent,
        env={"PYTHONPATH": str(unpacked)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_the_wheel_is_pure_and_has_the_version_of_the_project(wheel: Path) -> None:
    """One wheel serves every platform, and its name carries the version written in pyproject.toml."""
    version = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["version"]
    assert wheel.name == f"wavetank-{version}-py3-none-any.whl"


def test_the_wheel_holds_every_source_file(names: set[str]) -> None:
    """No module stays behind, and no file of limits."""
    source = ROOT / "src"
    files = [file for ending in ("py", "js", "css", "toml") for file in source.rglob(f"*.{ending}")]
    missing = {file.relative_to(source).as_posix() for file in files} - names
    assert missing == set()


def test_the_wheel_holds_the_whole_catalogue(names: set[str]) -> None:
    """Every catalogue scenario, and nothing else, lies in the package's scenarios folder."""
    prefix = "wavetank/scenarios/"
    assert CATALOGUE, "the scenarios folder is empty"
    assert sorted(name.removeprefix(prefix) for name in names if name.startswith(prefix)) == CATALOGUE


def test_the_wheel_is_typed_and_licensed(wheel: Path, names: set[str]) -> None:
    """Type checkers find py.typed; the licence text and its SPDX name travel along."""
    assert "wavetank/py.typed" in names
    assert read(wheel, "licenses/LICENSE") == (ROOT / "LICENSE").read_text("utf-8")
    assert Parser().parsestr(read(wheel, "METADATA"))["License-Expression"] == "Apache-2.0"


def test_the_wheel_registers_the_pytest_plugin(wheel: Path) -> None:
    """pytest finds the plugin under the name wavetank."""
    entry_points = configparser.ConfigParser()
    entry_points.read_string(read(wheel, "entry_points.txt"))
    assert dict(entry_points["pytest11"]) == {"wavetank": "wavetank.pytest_plugin"}


def test_the_wheel_shows_the_readme(wheel: Path) -> None:
    """The README is the wheel's description."""
    metadata = read(wheel, "METADATA")
    assert Parser().parsestr(metadata)["Description-Content-Type"] == "text/markdown"
    assert (ROOT / "README.md").read_text("utf-8") in metadata


def test_the_wheel_holds_the_package_alone(names: set[str]) -> None:
    """No tests, docs or caches slip in."""
    assert {name.split("/")[0] for name in names} == {"wavetank", "wavetank-0.1.0.dist-info"}
    assert [name for name in names if "__pycache__" in name] == []


def test_an_unpacked_wheel_finds_its_catalogue(unpacked: Path) -> None:
    """Away from the source tree, the catalogue is the one inside the package."""
    code = "import wavetank.scenario as s; print(s.__file__); print(*sorted(s.catalogue()))"
    file, catalogue = run_in(unpacked, code).splitlines()
    assert Path(file) == unpacked / "wavetank" / "scenario" / "__init__.py"
    assert [f"{name}.toml" for name in catalogue.split()] == CATALOGUE


def test_an_unpacked_wheel_imports_no_more_than_the_tree(unpacked: Path) -> None:
    """The plugin module of the wheel imports without the source tree."""
    file = run_in(unpacked, "import wavetank.pytest_plugin as p; print(p.__file__)")
    assert Path(file) == unpacked / "wavetank" / "pytest_plugin" / "__init__.py"


def interpreters() -> dict[str, Path]:
    """The Python that runs the tests; in deep tests also the oldest and the newest that are at hand."""
    running = {"{}.{}".format(*sys.version_info): Path(sys.executable)}
    if not DEEP:
        return running
    return running | {version: path for version in PYTHONS if (path := interpreter(version)) is not None}


def interpreter(version: str) -> Path | None:
    """A Python of this version that starts."""
    name = f"python{version}"
    pyenv = sorted(Path.home().glob(f".pyenv/versions/*/bin/{name}"))
    on_path = shutil.which(name)
    candidates = [*pyenv, *([Path(on_path)] if on_path is not None else [])]
    return next((path for path in candidates if says(path, "-c", "import venv, ensurepip")[0] == 0), None)


def says(python: Path, *arguments: str, cwd: Path | None = None) -> tuple[int, str]:
    """The exit code of an interpreter and all it prints, free of the environment the tests run in."""
    kept = {
        name: value for name, value in os.environ.items() if not name.startswith(("PY", "COV", "VIRTUAL"))
    }
    done = subprocess.run(
        [python, *arguments],
        cwd=cwd,
        env=kept,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout


INTERPRETERS = interpreters()


def needed(*names: str) -> set[str]:
    """The distributions that those of these names need here, themselves included, and no extra of any."""
    found: set[str] = set()
    left = [*names]
    while left:
        name = left.pop()
        if name not in found:
            found.add(name)
            wanted = map(Requirement, distribution(name).requires or ())
            left += [one.name for one in wanted if one.marker is None or one.marker.evaluate({"extra": ""})]
    return found


def linked(names: set[str], folder: Path) -> None:
    """Let an environment have these distributions, which are installed here, and no others."""
    for name in names:
        installed = distribution(name)
        for top in {file.parts[0] for file in installed.files or () if file.parts[0] != ".."}:
            if not (folder / top).exists():
                (folder / top).symlink_to(str(installed.locate_file(top)))


def test_the_example_needs_no_more_than_is_declared(wheel: Path, tmp_path: Path) -> None:
    """The wheel, what it says that it needs, and two SDKs are enough: neither trio nor an extra."""
    code, output = says(Path(sys.executable), "-m", "venv", "--without-pip", str(tmp_path / "venv"))
    assert code == 0, output
    python = tmp_path / "venv" / ("Scripts" if os.name == "nt" else "bin") / "python"
    _, packages = says(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))")
    site = Path(packages.strip())
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)
    declared = needed("wavetank", "openai", "anthropic")
    assert "trio" not in declared
    linked(declared - {"wavetank"}, site)
    assert_the_demo_passes(python, tmp_path)


@pytest.mark.skipif(not DEEP, reason="takes twenty seconds; `make deep` installs them")
@pytest.mark.parametrize("version", INTERPRETERS)
def test_the_example_runs_in_a_fresh_environment(version: str, wheel: Path, tmp_path: Path) -> None:
    """On each Python at hand, the wheel and two SDKs in a new environment are all that the example needs."""
    base = INTERPRETERS[version]
    code, output = says(base, "-m", "venv", "--without-pip", str(tmp_path / "venv"))
    assert code == 0, output
    python = tmp_path / "venv" / ("Scripts" if os.name == "nt" else "bin") / "python"
    wanted = (str(wheel), "openai>=3", "anthropic>=2")
    # A pip of its own and the bytecode of two SDKs would take longer than all the rest.
    pip = ("-m", "pip", "--python", str(python), "install", "--quiet", "--disable-pip-version-check")
    code, output = says(Path(sys.executable), *pip, "--no-compile", *wanted)
    assert code == 0, (
        "pip could not install the wheel with openai and anthropic into a new environment; "
        f"this test needs a package index that answers:\n{output}"
    )
    assert_the_demo_passes(python, tmp_path)


def assert_the_demo_passes(python: Path, folder: Path) -> None:
    project = Path(shutil.copytree(DEMO, folder / "demo", ignore=shutil.ignore_patterns("__pycache__")))
    code, screen = says(python, "-m", "pytest", "--llm-scenario=cascade", cwd=project)
    assert code == 0, screen
    assert "item 'ticket-26' was lost" in screen
    assert "2 tests: " in screen
    assert " 1 passed, 1 xfailed in " in screen
    assert "Warning" not in screen
