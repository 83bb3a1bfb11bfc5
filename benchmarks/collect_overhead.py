"""How much the installed plugin adds to `pytest --co -q` in a project that does not use it.

Two settings, since plugins share their imports: beside whatever else is installed, and alone.
Runs with and without the plugin alternate, so that a slow spell of the machine hits both.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

RUNS: Final = 15
TESTS: Final = 50
GOAL_MS: Final = 15.0

ALONE: Final = {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
SETTINGS: Final[tuple[tuple[str, Mapping[str, str], Sequence[str], Sequence[str]], ...]] = (
    ("beside the others", {}, (), ("-p", "no:wavetank")),
    ("alone", ALONE, ("-p", "wavetank.pytest_plugin"), ()),
)


def write_project(folder: Path) -> None:
    """A project of trivial tests with its own configuration."""
    (folder / "pytest.ini").write_text("[pytest]\n")
    tests = (f"def test_{number}():\n    assert True\n" for number in range(TESTS))
    (folder / "test_trivial.py").write_text("\n\n".join(tests))


def collect_ms(folder: Path, environment: Mapping[str, str], options: Sequence[str]) -> float:
    """One collection in a new interpreter, in milliseconds."""
    command = [sys.executable, "-m", "pytest", "--co", "-q", "-p", "no:cacheprovider", *options]
    start = time.perf_counter()
    done = subprocess.run(
        command, cwd=folder, env={**os.environ, **environment}, capture_output=True, text=True, check=False
    )
    elapsed = (time.perf_counter() - start) * 1000
    if f"{TESTS} tests collected" not in done.stdout:
        raise SystemExit(f"pytest did not collect {TESTS} tests:\n{done.stdout}{done.stderr}")
    return elapsed


def alternate(
    folder: Path, environment: Mapping[str, str], with_it: Sequence[str], without_it: Sequence[str]
) -> tuple[list[float], list[float]]:
    """The times with and without the plugin; the first run of each warms up and is dropped."""
    with_times, without_times = [], []
    for number in range(RUNS + 1):
        # Each goes first every other time: the second of a pair may find warmer caches.
        if number % 2:
            with_times.append(collect_ms(folder, environment, with_it))
        without_times.append(collect_ms(folder, environment, without_it))
        if not number % 2:
            with_times.append(collect_ms(folder, environment, with_it))
    return with_times[1:], without_times[1:]


def row(title: str, with_times: Sequence[float], without_times: Sequence[float]) -> str:
    """One line of the table; the spread is half the range of the middle half of the paired differences."""
    with_it, without_it = statistics.median(with_times), statistics.median(without_times)
    low, _, high = statistics.quantiles(a - b for a, b in zip(with_times, without_times, strict=True))
    adds, spread = with_it - without_it, (high - low) / 2
    verdict = "too noisy to tell" if spread > GOAL_MS else "met" if adds <= GOAL_MS else "missed"
    return (
        f"{title:<18}{without_it:>9.1f}{with_it:>9.1f}{adds:>8.1f}{spread:>8.1f}"
        f"{with_it / without_it:>8.2f}  at most {GOAL_MS:.0f} ms: {verdict}"
    )


def main() -> None:
    """Print the table."""
    print(f"pytest --co -q, {TESTS} tests, median of {RUNS} runs each, in ms")
    print(f"{'plugin':<18}{'without':>9}{'with':>9}{'adds':>8}{'spread':>8}{'ratio':>8}  goal")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_project(folder)
        for title, environment, with_options, without_options in SETTINGS:
            print(row(title, *alternate(folder, environment, with_options, without_options)))


if __name__ == "__main__":
    main()
