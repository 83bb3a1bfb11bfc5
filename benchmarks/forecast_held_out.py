"""How well forecasts from one half of a usage log predict the other half, which the forecast has not seen.

Without a log it makes twenty: no public log has both the latencies and the number of requests at once of
one account. Their latencies follow laws that the forecast has no formula for: a lognormal factor, a wait
that grows with the prompt, a pace of its own for each log, and in some logs three minutes in which all is
slower. The truth is how long the other half takes with its own latencies, worked out here, not by wavetank.

    python -m benchmarks.forecast_held_out
    python -m benchmarks.forecast_held_out my-log.csv -j 10
"""

from __future__ import annotations

import argparse
import contextlib
import csv
import heapq
import io
import json
import math
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from statistics import median
from typing import Final, NamedTuple

from wavetank.cli import main as wavetank
from wavetank.sim.dice import dice

ROWS: Final = 800
LOGS: Final = 20
SLOW_SECONDS: Final = 180.0
"""How long a provider is slow: about a third of a batch."""


class Row(NamedTuple):
    """A request of a log, with the seconds from its sending to the end of its answer."""

    input_tokens: int
    output_tokens: int
    seconds: float


def made(number: int) -> tuple[str, int, list[Row]]:
    """A log: what is special about it, how many requests were under way at once, and its rows."""
    random = dice("held out", number).random
    parallel = 4 + int(20 * random())
    pace, spread = 20 + 80 * random(), 0.15 + 0.45 * random()
    by_prompt, slow = 0.0008 * random(), 1.5 + 1.5 * random() if number % 2 else 1.0
    rows = [(100 + int(2900 * random() ** 2), 30 + int(900 * random() ** 3)) for _ in range(ROWS)]
    begins = SLOW_SECONDS * random()

    def seconds(number: int, now: float) -> float:
        asked, answered = rows[number]
        normal = math.sqrt(-2 * math.log(1 - random())) * math.cos(2 * math.pi * random())
        factor = slow if begins <= now < begins + SLOW_SECONDS else 1.0
        return math.exp(spread * normal) * factor * (0.2 + by_prompt * asked + answered / pace)

    lasted: list[float] = []

    def noted(number: int, now: float) -> float:
        lasted.append(seconds(number, now))
        return lasted[-1]

    batch_seconds(range(ROWS), parallel, noted)
    kind = f"slow part, {slow:.1f} times" if number % 2 else "steady"
    return kind, parallel, [Row(*row, took) for row, took in zip(rows, lasted, strict=True)]


def batch_seconds(rows: Sequence[int], parallel: int, seconds: Callable[[int, float], float]) -> float:
    """How long it takes to send these rows in turn, so many at once."""
    ends = [0.0] * parallel
    for row in rows:
        now = heapq.heappop(ends)
        heapq.heappush(ends, now + seconds(row, now))
    return max(ends)


def forecast(rows: Sequence[Row], many: int, parallel: int) -> float:
    """The median of a forecast for so many rows, of which these are the log."""
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()) as said:
        log = Path(folder, "usage.csv")
        with log.open("w", newline="") as file:
            csv.writer(file).writerows([Row._fields, *rows])
        words = ["--usage", str(log), "--rows", str(many), "-j", str(parallel), "--seeds", "3"]
        status = wavetank(["forecast", *words, "--jobs", "1", "--json"])
        assert status == 0, said.getvalue()
    found = json.loads(said.getvalue())["forecasts"][0]
    return float(found["time"]["median"])


def errors(rows: list[Row], parallel: int) -> Iterator[tuple[str, float]]:
    """The errors of the forecasts of both kinds of halves, as parts of the truth."""
    half = len(rows) // 2
    halves = {"every other row": (rows[::2], rows[1::2]), "the later half": (rows[:half], rows[half:])}
    for name, (seen, held_out) in halves.items():
        truth = batch_seconds(range(len(held_out)), parallel, lambda row, _, rows=held_out: rows[row].seconds)
        yield name, forecast(seen, len(held_out), parallel) / truth - 1


def read(path: Path) -> list[Row]:
    """The rows of a log with the columns of `--usage`."""
    with path.open(newline="") as file:
        return [
            Row(int(row["input_tokens"]), int(row["output_tokens"]), float(row["seconds"]))
            for row in csv.DictReader(file)
        ]


def main() -> None:
    """Predict the halves of one log, or of those that are made; print the errors."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("log", nargs="?", type=Path, metavar="LOG.csv")
    parser.add_argument("-j", type=int, default=10, help="requests at once, with a log")
    options = parser.parse_args()
    logs = (
        [made(number) for number in range(LOGS)]
        if options.log is None
        else [(str(options.log), options.j, read(options.log))]
    )
    found: dict[tuple[str, str], list[float]] = {}
    for kind, parallel, rows in logs:
        for half, error in errors(rows, parallel):
            print(f"{kind:24} -j {parallel:2}  {half:16} {error:+6.1%}", flush=True)
            found.setdefault((kind.partition(",")[0], half), []).append(abs(error))
    for (kind, half), off in sorted(found.items()):
        within = sum(error <= 0.1 for error in off)
        figures = f"median {median(off):.1%}, most {max(off):.1%}"
        print(f"{kind:10} {half:16} {figures}, {within} of {len(off)} within 10 %")


if __name__ == "__main__":
    main()
