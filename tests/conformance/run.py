"""Run the tests of anyio, trio and asyncio on wavetank's engines: `make conformance`.

Fetches the source distribution of the anyio that is installed, for the tests in it; those of trio
come with its wheel, those of asyncio with Python if it was built with them. Writes one JSON file
for each suite and level below `build/conformance/`, and prints one line for each.
"""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
import tarfile
from collections import Counter
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Final, final

HERE: Final = Path(__file__).parent
BUILD: Final = HERE.parents[1] / "build" / "conformance"
LEVELS: Final = ("stock", "fifo-instant", "fifo", "batch-instant", "batch", "any-instant", "any")


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Suite:
    """Somebody's tests: where they are, which of them apply, what pytest needs to run them."""

    name: str
    root: Path
    files: tuple[str, ...]
    options: tuple[str, ...] = ()


def anyio() -> Suite:
    """The tests in anyio's source distribution, which is fetched once."""
    name = f"anyio-{version('anyio')}"
    if not (BUILD / name).is_dir():
        fetch = ("download", "--quiet", "--no-deps", "--no-binary", ":all:", name.replace("-", "=="))
        subprocess.run([sys.executable, "-m", "pip", *fetch, "--dest", str(BUILD)], check=True)
        with tarfile.open(BUILD / f"{name}.tar.gz") as archive:
            archive.extractall(BUILD, filter="data")
    of_streams = tuple(f"streams/test_{part}" for part in ("memory", "buffered", "stapled", "text"))
    names = (
        "taskgroups synchronization lowlevel from_thread to_thread futures eventloop contextmanagers "
        "debugging functools itertools concurrency_utils"
    )
    files = (*(f"test_{part}" for part in names.split()), *of_streams)
    return Suite(name="anyio", root=BUILD / name, files=tuple(f"tests/{part}.py" for part in files))


def trio() -> Suite:
    """The tests in trio's wheel."""
    core = "run parking_lot asyncgen cancelled instrumentation local unbounded_queue"
    rest = "sync channel timeouts contextvars threads abc scheduler_determinism util"
    return Suite(
        name="trio",
        root=_folder_of("trio"),
        files=(
            *(f"_core/_tests/test_{part}.py" for part in core.split()),
            *(f"_tests/test_{part}.py" for part in rest.split()),
        ),
        options=("-p", "trio._tests.pytest_plugin", "-c", os.devnull, "-o", "filterwarnings=error"),
    )


def asyncio() -> Suite:
    """The tests in Python's own `test` package."""
    parts = (
        "tasks locks queues taskgroups timeouts waitfor futures futures2 context eager_task_factory "
        "pep492 threads"
    )
    files = tuple(f"test_{part}.py" for part in parts.split())
    return Suite(
        name="asyncio",
        root=_folder_of("test") / "test_asyncio",
        files=files,
        options=("--import-mode=importlib",),
    )


def _folder_of(package: str) -> Path:
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        raise SystemExit(f"this Python has no package {package!r} with tests")
    return Path(spec.origin).parent


def run(suite: Suite, level: str, seeds: str) -> Counter[str]:
    """Run one suite in one level, each test in so many orders; how many had which outcome in one of them."""
    outcomes = BUILD / f"{suite.name}-{sys.version_info[0]}.{sys.version_info[1]}-{level}.json"
    files = [str(suite.root / name) for name in suite.files if (suite.root / name).is_file()]
    command = [sys.executable, "-m", "pytest", "-q", "--tb=short", "--timeout=120", "-p", "timeout"]
    command += ["-p", "on_engines", "-p", "no:cacheprovider", *suite.options, "--rootdir", str(suite.root)]
    command += ["--order", level, "--seeds", seeds, "--outcomes", str(outcomes), *files]
    paths = {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTHONPATH": str(HERE)}
    environment = {**os.environ, **paths}
    with outcomes.with_suffix(".log").open("w") as log:
        subprocess.run(command, cwd=BUILD, env=environment, stdout=log, stderr=log, check=False)
    found = json.loads(outcomes.read_text())["outcomes"]
    return Counter(max(found[test], key=("passed", "skipped", "failed").index) for test in found)


def main(levels: tuple[str, ...], seeds: str) -> None:
    """Run every suite in every level."""
    BUILD.mkdir(parents=True, exist_ok=True)
    for suite in (anyio(), trio(), asyncio()):
        for level in levels:
            print(f"{suite.name:8} {level:14}", dict(run(suite, level, seeds)), flush=True)


if __name__ == "__main__":
    main(tuple(sys.argv[2:]) or LEVELS, sys.argv[1] if sys.argv[1:] else "3")
