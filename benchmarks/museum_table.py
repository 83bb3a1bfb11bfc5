"""How many schedules each specimen of the museum needs until it is seen, by policy and backend.

Every specimen is searched from several seeds under every policy, and each twin is searched beside
it. `--page FILE` lets other tools run the museum, too, and writes all as a page of the
documentation, with the date and the versions; `--table FILE` puts the short table between its markers.
With `--only NAME` alone it prints the rows of a new specimen for both pages, without other tools.
"""

from __future__ import annotations

import argparse
import datetime
import statistics
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Final, NamedTuple

from wavetank.museum import SPECIMENS
from wavetank.museum.specimen import KINDS, Specimen
from wavetank.sim import policies
from wavetank.sim.policies.exhaustive import Exhaustive
from wavetank.tank.runs.run_options import SearchOptions
from wavetank.tank.search.search import ScheduleSearch

from . import museum_peers

# A search of every schedule is for small programs: in a thousand it does not come to the third deviation.
POLICIES: Final = tuple(name for name in policies.POLICIES if name != Exhaustive.NAME)
SEEDS: Final = 20
SHRUNK: Final = 3
MOST: Final = 1_000
TWIN: Final = 200
DETECTION: Final = Path(__file__).parents[1] / "docs" / "detection.md"
MARKERS: Final = ("<!-- museum -->", "<!-- /museum -->")


class Row(NamedTuple):
    """One specimen on one backend: by policy, deviations left, one schedule, seconds to look, the twin."""

    specimen: Specimen
    backend: str
    firsts: dict[str, list[int]]
    deviations: list[int]
    schedule: tuple[str, ...]
    level: str
    seconds: float
    twin: bool


def first(specimen: Specimen, backend: str, policy: str, seed: int) -> int:
    """The schedule in which the bug is first seen; 0 if it stays hidden."""
    options = SearchOptions(
        schedules=MOST,
        policy=policy,
        seed=seed,
        backend="asyncio" if backend == "threads" else backend,
        **specimen.options(),
    )
    searching = ScheduleSearch.of_program(specimen.buggy, specimen.scenario, options)
    return searching.made if searching.until_failure() is not None else 0


def row(specimen: Specimen, backend: str, seeds: int) -> Row:
    """Search a specimen from every seed under every policy."""
    began = time.perf_counter()
    firsts = {
        policy: [first(specimen, backend, policy, seed) for seed in range(seeds)] for policy in POLICIES
    }
    seconds = (time.perf_counter() - began) / (seeds * len(POLICIES))
    shrunk = [specimen.search(backend=backend, seed=seed) for seed in range(SHRUNK)]
    wrong = [result for result in shrunk if not specimen.shown_by(result)]
    if wrong:
        raise SystemExit(f"{specimen.name} on {backend} is not what its label says: {wrong[0]}")
    failures = [result.failure for result in shrunk if result.failure is not None]
    twin = specimen.search(backend=backend, twin=True, schedules=TWIN)
    return Row(
        specimen,
        backend,
        firsts,
        [len(failure.deviations) for failure in failures],
        tuple(map(str, failures[0].deviations)),
        failures[0].level,
        seconds,
        twin.failure is None,
    )


def cell(firsts: Sequence[int]) -> str:
    """Median and worst of the searches that saw the bug, and how many did not."""
    seen = [number for number in firsts if number]
    if not seen:
        return "not seen"
    missed = len(firsts) - len(seen)
    told = f"{statistics.median(seen):.0f} / {max(seen)}"
    return told + (f" ({missed} of {len(firsts)} not)" if missed else "")


def cells(one: Row) -> list[str]:
    """A row as text."""
    return [
        f"`{one.specimen.name}`",
        KINDS[one.specimen.kind],
        one.backend,
        one.specimen.found_as,
        *(cell(one.firsts[policy]) for policy in POLICIES),
        f"{statistics.median(one.deviations):.0f}",
        one.level,
        f"{one.seconds:.2f}",
        "passed" if one.twin else "BLAMED",
    ]


HEAD: Final = ("specimen", "kind", "backend", "seen as", *POLICIES, "deviations", "level", "seconds", "twin")


def page(rows: Sequence[Row], seeds: int) -> Iterator[str]:
    """The page, line by line."""
    today = datetime.datetime.fromtimestamp(time.time(), datetime.UTC).date()
    versions = ", ".join(f"{name} {version(name)}" for name in ("wavetank", "anyio", "trio"))
    yield "# What is found, and how soon"
    yield ""
    yield f"Made by `make museum` on {today}, with Python {sys.version.split()[0]}, {versions}."
    yield f"Each [specimen](museum.md) is searched from {seeds} seeds at level `any`, in up to {MOST} runs."
    yield "A cell is the schedule in which the bug is first seen, median and worst; the first one is FIFO."
    yield f"Deviations are those that are left when shrunk, the median of {SHRUNK} default searches."
    yield "Seconds are the mean of one search, without shrinking, on a machine that was not idle."
    yield f"The twin is the same program without the bug, searched in {TWIN} schedules."
    yield ""
    yield f"| {' | '.join(HEAD)} |"
    yield f"|{'---|' * len(HEAD)}"
    yield from (f"| {' | '.join(cells(one))} |" for one in rows)
    medians = [statistics.median(number for number in one.firsts["portfolio"] if number) for one in rows]
    worst = max(max(one.firsts["portfolio"]) for one in rows)
    hidden = sum(number == 0 for one in rows for number in one.firsts["portfolio"])
    yield ""
    yield (
        "With the default policy the bug of every row is seen; the median of the medians is "
        f"{statistics.median(medians):.0f}, the worst search took {worst} schedules, and {hidden} of "
        f"{len(rows) * seeds} searches saw nothing."
    )
    yield ""
    yield "What is left of a schedule when it is shrunk, where it is not plain FIFO order (seed 0):"
    yield ""
    for one in rows:
        if one.schedule:
            yield f"- `{one.specimen.name}` on {one.backend}: FIFO order, except {'; '.join(one.schedule)}"
    yield ""


def short(rows: Sequence[Row], others: museum_peers.Contest) -> Iterator[str]:
    """The short table: each bug on asyncio, and whether other tools see it."""
    tools = [tool for tool in others.tools if tool != "wavetank"]
    yield f"| bug | schedules | shrunk to | {' | '.join(tools)} |"
    yield f"|{'---|' * (len(tools) + 3)}"
    for one in rows:
        if one.backend in ("asyncio", "threads"):
            name, left = one.specimen.name, statistics.median(one.deviations)
            shrunk = f"FIFO but for {left:.0f} choice{'s' if left > 1 else ''}" if left else "FIFO"
            told = (others.seens[tool, name, "buggy"].shortly for tool in tools)
            yield f"| `{name}` | {cell(one.firsts['portfolio'])} | {shrunk} | {' | '.join(told)} |"


def by_hand(rows: Sequence[Row], detection: str) -> Iterator[str]:
    """What a person adds to both pages for new specimens, whose text says which tools its table has."""
    (head,) = (line for line in detection.splitlines() if line.startswith("| specimen | wavetank |"))
    tools = tuple(head.split(" | ")[1:-1])
    names = tuple(dict.fromkeys(one.specimen.name for one in rows))
    seens = {
        (tool, name, which): museum_peers.Seen(0, 0, "not run")
        for tool in tools
        for name in names
        for which in ("buggy", "twin")
    }
    for one in reversed(rows):  # the table of the tools has the first backend
        number = one.firsts["portfolio"][0]
        found = museum_peers.Seen(number, number, one.specimen.found_as)
        seens["wavetank", one.specimen.name, "buggy"] = found
        seens["wavetank", one.specimen.name, "twin"] = museum_peers.Seen(TWIN, int(not one.twin), "")
    others = museum_peers.Contest(tools, names, (), seens)
    yield "\ndocs/detection.md, at the end of the first table:\n"
    yield from (f"| {' | '.join(cells(one))} |" for one in rows)
    yield '\ndocs/detection.md, at the end of the table under "Beside other tools":\n'
    yield from museum_peers.rows(others)
    yield "\ndocs/museum.md, at the end of the table:\n"
    yield from [*short(rows, others)][2:]


def put_between(markers: tuple[str, str], text: str, lines: Iterable[str]) -> str:
    """The text with these lines between its two markers.

    Raises:
        ValueError: it does not have them.
    """
    before, begin, rest = text.partition(markers[0])
    _, end, after = rest.partition(markers[1])
    if not end:
        raise ValueError(f"the text lacks {markers[0]} and {markers[1]}")
    return "\n".join((before + begin, "", *lines, "", end + after))


def main() -> None:
    """Make the table, print it, and write the page and the short table if they are asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--page", type=Path, help="where to write the page")
    parser.add_argument("--table", type=Path, help="where to put the short table")
    parser.add_argument("--seeds", type=int, default=SEEDS)
    parser.add_argument("--only", nargs="*", help="some specimens")
    options = parser.parse_args()
    names = options.only or list(SPECIMENS)
    rows = []
    for name in names:
        for backend in SPECIMENS[name].backends:
            rows.append(row(SPECIMENS[name], backend, options.seeds))
            print(" | ".join(cells(rows[-1])), flush=True)
    if options.only and options.page is None and options.table is None:
        print("\n".join(by_hand(rows, DETECTION.read_text("utf-8"))))
    if options.page is not None or options.table is not None:
        others = museum_peers.contest(names)
        if options.page is not None:
            lines = [*page(rows, options.seeds), *museum_peers.lines(others)]
            options.page.write_text("\n".join(lines) + "\n", "utf-8")
        if options.table is not None:
            text = options.table.read_text("utf-8")
            options.table.write_text(put_between(MARKERS, text, short(rows, others)), "utf-8")


if __name__ == "__main__":
    main()
