"""How many schedules each specimen of the museum needs until it is seen, by policy and backend.

Every specimen is searched from several seeds under every policy, and each twin is searched beside
it. `--page FILE` writes the table as a page of the documentation, with the date and the versions.
"""

from __future__ import annotations

import argparse
import datetime
import statistics
import sys
import time
from collections.abc import Iterator, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Final, NamedTuple

from wavetank.museum import SPECIMENS
from wavetank.museum.specimen import KINDS, Specimen
from wavetank.tank.search import Hunt

POLICIES: Final = ("portfolio", "fifo", "random", "urw", "pct")
SEEDS: Final = 20
SHRUNK: Final = 3
MOST: Final = 1_000
TWIN: Final = 200


class Row(NamedTuple):
    """One specimen on one backend: the cells by policy, deviations left, seconds to look, the twin."""

    specimen: Specimen
    backend: str
    firsts: dict[str, list[int]]
    deviations: list[int]
    level: str
    seconds: float
    twin: bool


def first(specimen: Specimen, backend: str, policy: str, seed: int) -> int:
    """The schedule in which the bug is first seen; 0 if it stays hidden."""
    hunt = Hunt(
        specimen.buggy,
        specimen.scenario,
        schedules=MOST,
        policy=policy,
        seed=seed,
        backend=backend,
        checks=specimen.checks,
        max_virtual_seconds=specimen.max_virtual_seconds,
    )
    return hunt.made if hunt.look() is not None else 0


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
        f"With the default policy {len(rows)} of {len(rows)} rows are seen; the median of the medians is "
        f"{statistics.median(medians):.0f}, the worst search took {worst} schedules, and {hidden} of "
        f"{len(rows) * seeds} searches saw nothing."
    )


def main() -> None:
    """Make the table, print it, and write the page if one is asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--page", type=Path, help="where to write the page")
    parser.add_argument("--seeds", type=int, default=SEEDS)
    parser.add_argument("--only", help="one specimen")
    options = parser.parse_args()
    rows = []
    for name, specimen in SPECIMENS.items():
        if options.only in (None, name):
            for backend in specimen.backends:
                rows.append(row(specimen, backend, options.seeds))
                print(" | ".join(cells(rows[-1])), flush=True)
    if options.page is not None:
        options.page.write_text("\n".join(page(rows, options.seeds)) + "\n", "utf-8")


if __name__ == "__main__":
    main()
