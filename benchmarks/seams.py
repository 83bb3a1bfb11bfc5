"""What the ways in cost: a call through a seam, a request to the server, its start, its memory.

A call of the OpenAI SDK is timed with the SDK's own stand-in, `MockTransport`, which replays one answer
of the fake's; through the fake's transport; and with the fake installed under the client's own pool and
parser, which cost what the line `canned network` says, whoever answers. The server is asked over plain
sockets, beside the two other fake servers, which `make bench` installs: `llmock` from the Python index
and `aimock` from Node's. One that is missing gets a line that says so. All is CPU time but for the
rates and the start, which other work on the machine disturbs.
"""

from __future__ import annotations

import argparse
import json
import resource
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from .programs.seam_load import Load, load

PEERS: Final = Path("build/peers")
AIMOCK: Final = PEERS / "node/node_modules/@copilotkit/aimock/dist/cli.js"
PATIENCE: Final = 30
GOALS: Final = (("MockTransport", None), ("transport", 1.2), ("canned network", None), ("installed", 1.6))
QUIET: Final = 'title = "Quiet"\nstory = "No limits and no waves."\n'
FIXTURE: Final = {"fixtures": [{"match": {"userMessage": "hello"}, "response": {"content": "Hello!"}}]}


def calls(rounds: int) -> None:
    """A call of the SDK in four ways."""
    command = [sys.executable, "-m", "benchmarks.programs.seam_calls", str(rounds)]
    took: dict[str, float] = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
    base = took["MockTransport"]
    print(f"{'a call of the SDK':<28}{'µs':>8}{'ratio':>8}{'goal':>8}")
    for name, goal in GOALS:
        told = "" if goal is None else f"{goal:>8.1f}"
        print(f"{name:<28}{took[name]:>8.0f}{took[name] / base:>8.2f}{told}")


def ours(scenario: Path, *options: str) -> list[str]:
    """The command of our server."""
    return [sys.executable, "-m", "wavetank", "serve", str(scenario), *options]


@contextmanager
def serving(command: Sequence[str]) -> Iterator[tuple[int, int]]:
    """A server in a process of its own: its port and process id, once it takes connections."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with subprocess.Popen(
        [*command, "--port", str(port)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as process:
        try:
            _await(port)
            yield port, process.pid
        finally:
            process.terminate()


def _await(port: int) -> None:
    until = time.perf_counter() + PATIENCE
    while time.perf_counter() < until:
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        time.sleep(0.02)
    raise RuntimeError("no server came up")


def servers(requests: int, rounds: int) -> None:
    """CPU time and rate of a plain chat request at each server, in turns."""
    with tempfile.TemporaryDirectory() as folder:
        scenario, fixture = Path(folder) / "quiet.toml", Path(folder) / "fixture.json"
        scenario.write_text(QUIET)
        fixture.write_text(json.dumps(FIXTURE))
        commands = {
            "wavetank serve": ours(scenario),
            "wavetank serve --journal": ours(scenario, "--journal"),
            "llmock": [str(PEERS / "bin/llmock"), "serve", "--log-level", "error"],
            "aimock": ["node", str(AIMOCK), "--log-level", "silent", "--fixtures", str(fixture)],
        }
        loads: dict[str, list[Load]] = {name: [] for name in commands}
        trouble: dict[str, str] = {}
        for number in range(rounds):
            for name, command in commands.items():
                journal = [f"{folder}/{number}.ndjson"] if name.endswith("--journal") else []
                try:
                    with serving([*command, *journal]) as (port, pid):
                        loads[name].append(load(port, pid, requests))
                except (OSError, RuntimeError) as error:
                    trouble[name] = str(error).splitlines()[0]
    print(f"\n{'a plain chat request':<28}{'CPU µs':>8}{'a second':>10}", end="")
    print("   goal: at most 80 µs, and the highest rate")
    for name, each in loads.items():
        if each:
            cpu, rate = (statistics.median(column) for column in list(zip(*each, strict=True))[:2])
            print(f"{name:<28}{cpu:>8.0f}{rate:>10.0f}")
        else:
            print(f"{name:<28}left out: {trouble[name]}")


def start_up(rounds: int) -> None:
    """From the command to the line that says where it listens."""
    wall, cpu = [], []
    for _ in range(rounds):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        started = time.perf_counter()
        command = [sys.executable, "-m", "wavetank", "serve", "calm", "--port", "0"]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            process.stdout.readline()
            wall.append(time.perf_counter() - started)
            process.kill()
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        cpu.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    print(f"\nstart-up: {1000 * statistics.median(wall):.0f} ms", end="")
    print(f", {1000 * statistics.median(cpu):.0f} ms of CPU time   goal: at most 150 ms")


def memory(requests: int) -> None:
    """What the server holds after a tenth of the requests, and after all of them."""
    with tempfile.TemporaryDirectory() as folder:
        scenario = Path(folder) / "quiet.toml"
        scenario.write_text(QUIET)
        with serving(ours(scenario, "--journal", f"{folder}/run.ndjson")) as (port, pid):
            first = load(port, pid, requests // 10).megabytes
            last = load(port, pid, requests - requests // 10).megabytes
    print(f"memory with a journal: {first:.1f} MB after {requests // 10} requests, ", end="")
    print(f"{last:.1f} MB after {requests}   goal: flat")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=9, help="repetitions (default 9)")
    parser.add_argument("--requests", type=int, default=8000, help="to each server a round (default 8000)")
    parser.add_argument("--long", type=int, default=100_000, help="for the memory (default 100000)")
    options = parser.parse_args()
    calls(options.rounds)
    servers(options.requests, max(1, options.rounds // 3))
    start_up(options.rounds)
    memory(options.long)


if __name__ == "__main__":
    main()
