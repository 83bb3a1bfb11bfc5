"""What other tools make of the museum: each specimen and its twin, on asyncio, in the same CPU time.

The tools are those that `make museum` installs beside wavetank into an environment of their own. Each
runs one specimen in a process of its own, until the bug is seen or its time is used up.
`programs/spotting.py` says how a run is made and when a bug counts as seen.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final, NamedTuple

from wavetank.checks import CHECKS
from wavetank.museum import SPECIMENS

from .programs.peers import DETANGLE

TOOLS: Final = ("wavetank", *DETANGLE, "simloop", "simloom", "frontrun", "asyncio")
PYTHON: Final = Path("build/museum/bin/python")
SECONDS: Final = 5.0
TWIN_SECONDS: Final = 2.0
REAL: Final = {"frontrun": 2, "asyncio": 8}
"""They run in real time and sleep through some of it: so many processes run side by side."""
REAL_TIMES: Final = 4
"""So much longer is their time, by the wall clock."""
_PATIENCE: Final = 300.0

_VERSIONS: Final = """
import sys
from importlib.metadata import PackageNotFoundError, version
print("Python", sys.version.split()[0])
for name in sys.argv[1:]:
    try:
        print(name, version(name))
    except PackageNotFoundError:
        pass
"""


_ABOUT: Final = """\
## Beside other tools

Made with {versions}; `asyncio` is the loop of that Python.
Each specimen runs on asyncio until it is seen or {seconds:g} s of CPU time are used up.
Its twin has {twin:g} s.
What runs in real time has {times} times as much, by the wall clock.
Each tool searches as it does by default.
The fake provider runs on the clock of the tool's own loop, with another seed in every run.

A cell says how the bug was seen and in which run, or how many runs did not show it:

- `check` in this font: the tool let the program come to its end, and only a check of wavetank,
  read over the event log of the run, found the fault; the tool alone would have passed it;
- deadlock: reported by the tool itself;
- never done: the specimen's budget of virtual time ended, a day unless it has its own;
  in real time, the run took more than thrice the time of its twin and a second, or 11 s with frontrun;
- inconclusive: frontrun's own word for a search in which runs did not end in time.

detangle runs its portfolio of strategies.
By default it lets no time pass inside the program.
A search that it ends for a run of 200,000 steps is no verdict, and the next seed follows:
its orders may starve one task for ever, and a program that polls then never ends.
As `detangle, late` it has its options `timer_jitter=0.01` and `step_cost=0.001`, too:
timers may be 10 ms late, and each step takes 1 ms.
Its `maybe_timeout` and `invariant`, for which the program has to be changed, are not used.
simloop and simloom choose uniformly among the tasks that can run, in virtual time.
They let no time pass inside the program, which the late workers of some specimens need.
frontrun orders the tasks that it is handed and no others.
So it runs each specimen as one task, in one order.
Then, where the specimen starts its workers in one place, it runs with these workers handed over.
Its virtual clock reaches neither the sleep of anyio nor the timers of the loop: it runs in real time.
Plain asyncio has the jitter of a real machine, which was not idle, and nothing else.
None of these tools runs the specimens on trio.

"""


class Seen(NamedTuple):
    """What a tool came to with one program: runs, the one that failed or 0, and how that was seen."""

    runs: int
    first: int
    how: str

    @property
    def by_our_checks(self) -> bool:
        """Whether the tool let the program come to its end, and it was our check that failed."""
        return self.how in CHECKS

    @property
    def shortly(self) -> str:
        """Whether the bug was seen, in a word or two."""
        if not self.first:
            return self.how if self.how == "not run" else "no"
        return "with our checks" if self.by_our_checks else "yes"

    def __str__(self) -> str:
        if not self.runs:
            return self.how
        how = f"`{self.how}`" if self.by_our_checks else self.how
        return f"{how or 'not seen'}, {self.runs}"


Seens = Mapping[tuple[str, str, str], Seen]
"""By tool, specimen, and `buggy` or `twin`."""


def installed() -> list[str]:
    """Python and the tools of the environment, each with its version."""
    packages = dict.fromkeys(map(_package, (*TOOLS, "anyio")))
    packages.pop("asyncio")
    command = [str(PYTHON), "-c", _VERSIONS, *packages]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=_PATIENCE)
    return done.stdout.splitlines()


def _package(tool: str) -> str:
    """The package that a tool is in, which may be run in more than one way."""
    return tool.partition(",")[0]


def see(tool: str, name: str, which: str) -> Seen:
    """Let a tool run a program; one that does not come back in time is ended."""
    specimen = SPECIMENS[name]
    if tool != "wavetank" and (specimen.interrupt or specimen.needs or specimen.backends == ("threads",)):
        return Seen(0, 0, "not run")  # they run coroutines of one process to their end
    seconds = SECONDS if which == "buggy" else TWIN_SECONDS
    if tool in REAL:
        seconds *= REAL_TIMES
    command = [str(PYTHON), "-m", "benchmarks.programs.spotting", tool, name, which, str(seconds)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=_PATIENCE)
    except subprocess.TimeoutExpired:
        return Seen(0, 0, "did not come back")
    except subprocess.CalledProcessError as error:
        return Seen(0, 0, f"cannot run: {error.stderr.strip().splitlines()[-1]}")
    return Seen(*json.loads(done.stdout.splitlines()[-1]))


def see_all(tools: Sequence[str], names: Sequence[str]) -> dict[tuple[str, str, str], Seen]:
    """Let every tool run every specimen and its twin; only what mostly sleeps runs side by side."""
    jobs = [(tool, name, which) for name in names for which in ("buggy", "twin") for tool in tools]
    found: dict[tuple[str, str, str], Seen] = {}
    for width in sorted({REAL.get(tool, 1) for tool in tools}):
        turn = [job for job in jobs if REAL.get(job[0], 1) == width]
        with ThreadPoolExecutor(width) as pool:
            for job, seen in zip(turn, pool.map(lambda job: see(*job), turn), strict=True):
                print(" | ".join((*job, str(seen))), file=sys.stderr, flush=True)
                found[job] = seen
    return found


class Contest(NamedTuple):
    """All that came of one run of the tools: which there were, their versions, and what they saw."""

    tools: tuple[str, ...]
    names: tuple[str, ...]
    versions: tuple[str, ...]
    seens: Seens


def contest(names: Sequence[str]) -> Contest:
    """Let the tools that are installed run these specimens.

    Raises:
        SystemExit: there is no environment for them.
    """
    if not PYTHON.exists():
        raise SystemExit(f"{PYTHON} is missing: make build/museum/installed")
    versions = installed()
    there = {line.split()[0] for line in versions} | {"asyncio"}
    tools = tuple(tool for tool in TOOLS if _package(tool) in there)
    return Contest(tools, tuple(names), tuple(versions), see_all(tools, names))


def lines(of: Contest) -> Iterator[str]:
    """The part of the page about other tools, line by line."""
    yield from _ABOUT.format(
        versions=", ".join(of.versions), seconds=SECONDS, twin=TWIN_SECONDS, times=REAL_TIMES
    ).splitlines()
    yield f"| specimen | {' | '.join(of.tools)} | twin blamed by |"
    yield f"|{'---|' * (len(of.tools) + 2)}"
    yield from rows(of)
    yield ""
    yield from tally(of)


def rows(of: Contest) -> Iterator[str]:
    """A row for each specimen: what each tool saw."""
    tools, names, _, seens = of
    for name in names:
        blaming = [tool for tool in tools if seens[tool, name, "twin"].first]
        cells = (str(seens[tool, name, "buggy"]) for tool in tools)
        yield f"| `{name}` | {' | '.join(cells)} | {', '.join(blaming) or 'none'} |"


def tally(of: Contest) -> Iterator[str]:
    """How many each tool saw, by itself and with our checks, and what the twins' runs were."""
    tools, names, _, seens = of
    for tool in tools:
        ran = [seens[tool, name, "buggy"] for name in names if seens[tool, name, "buggy"].runs]
        seen = [one for one in ran if one.first]
        twins = sum(seens[tool, name, "twin"].runs for name in names)
        lent = sum(one.by_our_checks for one in seen)
        theirs = "" if tool == "wavetank" else f", {lent} of them only by wavetank's checks"
        share = "all" if len(seen) == len(ran) else f"{len(seen)} of {len(ran)}"
        yield f"- {tool}: {share} seen{theirs}; {twins} runs of the twins"


def main() -> None:
    """Print the part of the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", nargs="*", help="some specimens")
    options = parser.parse_args()
    print("\n".join(lines(contest(options.only or list(SPECIMENS)))))


if __name__ == "__main__":
    main()
