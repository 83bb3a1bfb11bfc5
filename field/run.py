"""Install the packages of the field, run their programs, and write the results to a page.

Each group has a virtual environment of its own below `build/field`, which is kept for the day, so that the
releases are the newest; it is also made again when its list or the Python changes. Each program runs under
each scenario in a process of its own. With names of groups or programs only those are run; the page keeps
its sections about the others.
"""

from __future__ import annotations

import ast
import hashlib
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator, Sequence
from datetime import date
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent
ROOT = FOLDER.parent
BUILD = ROOT / "build" / "field"
PAGE = ROOT / "docs" / "works-with.md"
SCENARIOS = ("cascade", "simultaneous")

# Installing a group takes one or two minutes on two cores; a resolver that searches for longer is lost.
INSTALL_SECONDS = 900
# A run is over in seconds, or in a few minutes on a machine with much else to do; what runs longer hangs.
RUN_SECONDS = 600
# Below a gigabyte, so that all groups fit on a small disk.
MOST_MEGABYTES = 1000

# The folders before a file's name, and addresses, are those of the machine that ran this.
_FOLDERS = re.compile(r"(?<![\w:/.])/(?:[\w.@+-]+/)+| at 0x[0-9a-f]+")

# How a section names its program.
PROGRAM = re.compile(r"`field/(\w+)\.py`")

HEAD = f"""# Works with

Released packages that call LLM APIs, each as one of its users would write it, under two scenarios of the catalogue.
`make field` installs them, runs the programs in `field/` and writes this page; nothing on it is typed.

Every program is given 20 rows and works on eight at a time, with its package's own batch where it has one.
There is one run in FIFO order, with seed 0, in virtual time, at the provider's real URL.

- **answered**: rows that got their answer, of 20; what the others failed with stands behind;
- **requests**, and how many of them were refused; **time** is virtual;
- **strict checks that fail**: the [checks](checks.md) that a run with these settings does not pass; below the table is an instance of each.
  `liveness`, `exactly_once`, `right_answer` and `answered` should pass for every client; the others say how well it waits.
  An agent that asks twice about a row is paid twice, which `exactly_once` reports.

Packages are installed in groups of at most {MOST_MEGABYTES} MB, in the newest releases that agree with each other.
Where another package of the group needs an older release, the newest one is named beside it.
"""


def main(wanted: Sequence[str]) -> int:
    """Run all programs, or the groups and programs named, and write the page from all results there are."""
    table = tomllib.loads((FOLDER / "packages.toml").read_text(encoding="utf-8"))
    for name, group in table["group"].items():
        programs = [each for each in group["programs"] if not wanted or {name, each} & {*wanted}]
        if programs:
            examine(name, group, programs)
    PAGE.write_text("\n".join(page(table)).rstrip() + "\n", encoding="utf-8")
    print(f"written: {PAGE.relative_to(ROOT)}")
    return 0


def examine(name: str, group: dict[str, Any], programs: Sequence[str]) -> None:
    """Install one group and run programs of it; the results of each are in a file."""
    print(f"== {name}", flush=True)
    problem = install(BUILD / name, group["install"])
    for program in programs:
        found = {"problem": problem} if problem is not None else examined(BUILD / name, program)
        (BUILD / f"{program}.json").write_text(json.dumps(found), encoding="utf-8")


def install(folder: Path, packages: Sequence[str]) -> str | None:
    """Make the virtual environment, unless it is there; what went wrong, if something did."""
    mark = folder / "installed"
    key = hashlib.sha256(json.dumps([date.today().isoformat(), sys.version, *packages]).encode()).hexdigest()
    if mark.exists() and mark.read_text(encoding="utf-8") == key:
        return None
    shutil.rmtree(folder, ignore_errors=True)
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
    pip = [str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet", "--no-compile"]
    try:
        subprocess.run([*pip, "--upgrade", "pip"], check=True)
        subprocess.run([*pip, "--editable", str(ROOT), *packages], check=True, timeout=INSTALL_SECONDS)
    except subprocess.TimeoutExpired:
        return f"pip found no releases that agree within {INSTALL_SECONDS} s"
    except subprocess.CalledProcessError:
        return "pip found no releases that agree"
    size = sum(file.lstat().st_size for file in folder.rglob("*")) >> 20
    if size > MOST_MEGABYTES:
        shutil.rmtree(folder)
        return f"its {size} MB are more than {MOST_MEGABYTES} MB"
    mark.write_text(key, encoding="utf-8")
    return None


def examined(folder: Path, program: str) -> dict[str, Any]:
    """Releases, and by scenario the results of a program, with the reason where there is none."""
    found: dict[str, Any] = {"versions": versions(folder, program), "scenarios": {}}
    for scenario in SCENARIOS:
        print(f"{program} under {scenario}: ", end="", flush=True)
        found["scenarios"][scenario] = run(folder, program, scenario)
        print(found["scenarios"][scenario]["status"], flush=True)
    return found


def packages_of(program: str) -> tuple[str, ...]:
    """The packages that the module of a program names, read without importing them."""
    tree = ast.parse((FOLDER / f"{program}.py").read_text(encoding="utf-8"))
    for node in tree.body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "PACKAGES":
            return tuple(ast.literal_eval(node.value))
    return ()


def versions(folder: Path, program: str) -> list[str]:
    """The releases of the packages of a program, each with the newest one beside it if that is another."""
    python = str(folder / "bin" / "python")
    code = "import sys; from importlib.metadata import version as v\nfor n in sys.argv[1:]: print(n, v(n))"
    command = [python, "-c", code, *packages_of(program)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return [release(*line.split(), newest(python, line.split()[0])) for line in done.stdout.splitlines()]


def newest(python: str, package: str) -> str | None:
    """The newest release of a package, as pip finds it for this Python; `None` if it finds none."""
    command = [python, "-m", "pip", "index", "versions", package]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    found = re.match(r"\S+ \((\S+)\)", done.stdout)
    return found and found[1]


def release(package: str, installed: str, latest: str | None) -> str:
    """A release as the page shows it."""
    held_back = latest not in (None, installed)
    return f"{package} {installed} (the newest is {latest})" if held_back else f"{package} {installed}"


def run(folder: Path, program: str, scenario: str) -> dict[str, Any]:
    """Run one program under one scenario."""
    results = BUILD / f"{program}.ndjson"
    results.unlink(missing_ok=True)
    command = [
        *(str(folder / "bin" / "python"), "-m", "pytest", "-q", "-p", "no:cacheprovider", "--tb=short"),
        *("-c", str(FOLDER / "pytest.ini"), "--rootdir", str(ROOT), f"--llm-scenario={scenario}"),
        *("--llm-checks=liveness", str(FOLDER / "test_field.py")),
    ]
    environment = os.environ | {
        "FIELD_PROGRAM": program,
        "FIELD_RESULTS": str(results),
        "PYTHONPATH": str(ROOT),
        "PYTHONPYCACHEPREFIX": str(BUILD / "compiled"),  # compiled once, and beside no source
    }
    try:
        done = subprocess.run(
            command,
            cwd=BUILD,
            env=environment,
            capture_output=True,
            text=True,
            timeout=RUN_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return {"status": f"hangs: no end after {RUN_SECONDS} s of real time", "runs": lines_of(results)}
    said = [line.removeprefix("E ").strip() for line in done.stdout.splitlines() if line.startswith("E ")]
    said = [line for line in said if line] or done.stdout.splitlines()[-3:] + done.stderr.splitlines()[-3:]
    status = "ended" if done.returncode == 0 else " ".join(said)[:600]
    (BUILD / f"{program}-{scenario}.log").write_text(done.stdout + done.stderr, encoding="utf-8")
    return {"status": status, "runs": lines_of(results)}


def lines_of(path: Path) -> list[dict[str, Any]]:
    """What the programs wrote."""
    return (
        [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] if path.exists() else []
    )


def page(table: dict[str, Any]) -> Iterator[str]:
    """The page, from the results of all groups."""
    yield HEAD
    yield f"Run with Python {platform.python_version()}; each section has the day of its run.\n"
    before = {program: text for text in written() for program in PROGRAM.findall(text)}
    for group in table["group"].values():
        for program in group["programs"]:
            file = BUILD / f"{program}.json"
            if file.exists():
                run_on = date.fromtimestamp(file.stat().st_mtime)
                yield from section(program, json.loads(file.read_text(encoding="utf-8")), run_on)
            else:
                yield before.get(program, f"## {program}\n\nNot run yet; `field/{program}.py`.\n")


def written() -> list[str]:
    """The sections of the page as it is."""
    if not PAGE.exists():
        return []
    return [f"## {text}" for text in PAGE.read_text(encoding="utf-8").split("\n## ")[1:]]


def section(program: str, found: dict[str, Any], run_on: date) -> Iterator[str]:
    """The releases, the results and the day of one program."""
    if "problem" in found:
        yield f"## {program}\n\n`field/{program}.py` has no results: {found['problem']}.\n"
        return
    releases = found["versions"]
    yield f"## {releases[0].split()[0] if releases else program}\n"
    yield f"{', '.join(releases)}; `field/{program}.py`, {run_on.isoformat()}.\n"
    rows = [(scenario, run) for scenario, result in found["scenarios"].items() for run in result["runs"]]
    if rows:
        yield "| what was run | scenario | answered | requests | refused | time | strict checks that fail |"
        yield "|---|---|---|---|---|---|---|"
        yield from (row(scenario, run) for scenario, run in rows)
        yield ""
    said: dict[str, str] = {}
    for _, run in rows:
        said = run["says"] | said
    yield from (f"- {name}: {plain(text)}" for name, text in said.items())
    errors = dict.fromkeys(run["first"] for _, run in rows if run["first"])
    yield from (f"- an error that it raised: {plain(text)[:300]}" for text in errors)
    yield from (
        f"- under {scenario} the run failed: {plain(result['status'])}"
        for scenario, result in found["scenarios"].items()
        if result["status"] != "ended"
    )
    yield ""


def row(scenario: str, run: dict[str, Any]) -> str:
    """One run in the table."""
    failed = ", ".join(f"{count} {name}" for name, count in run["failed"].items())
    answered = f"{run['done']} ({failed})" if failed else str(run["done"])
    says = ", ".join(run["says"]) or ("none" if run["requests"] else "no request came")
    cells = (run["doc"], scenario, answered, run["requests"], run["refused"], f"{run['seconds']} s", says)
    return f"| {' | '.join(map(str, cells))} |"


def plain(text: str) -> str:
    """A text in one line, without what Markdown or a table would take for its own."""
    line = _FOLDERS.sub("", " ".join(text.split()).replace("|", "/"))
    return "".join(f"\\{each}" if each in "<>*_[]`\\" else each for each in line)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
