"""What an explored run costs with real clients, beside another commit and beside the client alone.

A run has sixteen workers, a hundred items and three waves. `alone` is the same client outside of a run, with
`MockTransport` and as many requests: no run can cost less. With `--before COMMIT` the sources of that commit
take turns with these in the same go. Figures are CPU time, the least of several rounds.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path
from typing import Final

CLIENTS: Final = ("httpx2", "openai", "anthropic")
ROWS: Final = (("direct", None), ("transport", None), ("httpx2", 2.5), ("openai", 2.5), ("anthropic", 2.5))
"""What is run, and how many times as fast as before it is to be."""


def spent(name: str, runs: int, source: Path | None = None, *options: str) -> tuple[float, int]:
    """Milliseconds of a run, in a process of its own, and its requests; `source` has other sources."""
    command = [sys.executable, "-m", "benchmarks.programs.client_runs", name, str(runs), *options]
    place = {} if source is None else {"PYTHONPATH": str(source)}
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=os.environ | place)
    found = json.loads(done.stdout.strip().splitlines()[-1])
    return found["ms"], found["requests"]


def sources_of(commit: str, folder: Path) -> Path:
    """The sources of a commit, unpacked."""
    packed = subprocess.run(["git", "archive", commit], check=True, capture_output=True).stdout
    with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
        archive.extractall(folder, filter="data")
    return folder / "src"


def compare(rounds: int, runs: int, before: Path | None) -> None:
    """Print the table."""
    print(f"{'a run with':<12}{'requests':>9}{'ms':>9}{'alone':>9}{'before':>9}{'times':>7}  goal")
    for name, goal in ROWS:
        now, alone, then, requests = [], [], [], 0
        for _ in range(rounds):
            took, requests = spent(name, runs)
            now.append(took)
            if before is not None:
                then.append(spent(name, runs, before)[0])
            if name in CLIENTS:
                alone.append(spent(name, runs, None, "--alone")[0])
        line = f"{name:<12}{requests:>9}{min(now):>9.1f}" + (f"{min(alone):>9.1f}" if alone else f"{'':>9}")
        if then:
            times = min(then) / min(now)
            line += f"{min(then):>9.1f}{times:>7.2f}"
            if goal is not None:
                line += f"  {goal:g}: {'met' if times >= goal else 'missed'}"
                line += f", at most {min(then) / min(alone):.1f} can be had" if alone else ""
        print(line, flush=True)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--before", metavar="COMMIT", help="take turns with the sources of this commit")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--runs", type=int, default=2, help="runs in a round (default 2)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        before = None if options.before is None else sources_of(options.before, Path(folder))
        compare(options.rounds, options.runs, before)


if __name__ == "__main__":
    main()
