"""Lets one contestant make runs until it has used so much CPU time, and prints what it came to.

Called as `python -m benchmarks.programs.contest NAME RUNS SECONDS`; it makes that many runs at a time.
"""

from __future__ import annotations

import json
import sys
import time

from .peers import PEERS, Runs


def contestant(name: str) -> Runs:
    """The contestant of a name; wavetank is imported only for its own."""
    if name in PEERS:
        return PEERS[name]
    from .ours import OURS

    return OURS[name]


def contest(runs: Runs, at_a_time: int, seconds: float) -> dict[str, float]:
    """Complete runs, and the CPU and wall seconds they took; the first few warm up."""
    runs(max(at_a_time // 10, 1))
    made = 0
    cpu, wall = time.process_time(), time.perf_counter()
    while time.process_time() - cpu < seconds:
        made += runs(at_a_time)
    return {"runs": made, "cpu": time.process_time() - cpu, "wall": time.perf_counter() - wall}


def main() -> None:
    """Print one line of JSON; an error of the contestant is told in it."""
    name, at_a_time, seconds = sys.argv[1:]
    try:
        came_to: dict[str, float] | dict[str, str] = contest(contestant(name), int(at_a_time), float(seconds))
    except Exception as error:
        came_to = {"error": f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"}
    print(json.dumps(came_to))


if __name__ == "__main__":
    main()
