"""How far forecasts are from real runs: `wavetank run` over HTTP against `wavetank serve`, in real time.

Each set-up is drawn at random: rows, requests at once, latency, lengths, limits, an outage or none. It
takes some ten seconds of real time. Its forecast is made without any knowledge of the run.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, Final

from wavetank.sim.dice import dice

WAVETANK: Final = [sys.executable, "-m", "wavetank"]


def drawn(number: int) -> tuple[str, dict[str, int]]:
    """The scenario of a set-up, and its rows, tokens and requests at once."""
    random = dice("forecast in real time", number).random

    def between(low: float, high: float) -> float:
        return low + (high - low) * random()

    parallel = int(between(2, 16))
    first = int(between(100, 600))
    pace = int(between(50, 300))
    tokens = int(between(20, 120))
    seconds_each = (first * 1.5 + tokens / pace * 1000) / 1000
    rows = max(20, int(between(6, 12) * parallel / seconds_each))
    lines = [
        f'[latency]\nfirst_token = "{first}ms..{first * 2}ms"\ntokens_per_second = {pace}',
        f"[answers]\ntokens = {tokens}",
    ]
    if random() < 0.6:
        served = 60 * parallel / seconds_each
        lines.append(f"[limits]\nrequests_per_minute = {max(10, int(served * between(0.6, 1.5)))}")
    if random() < 0.3:
        lines.append(f'[[wave]]\nat = "{between(1, 4):.1f}s"\nlasts = "{between(1, 4):.1f}s"')
    return "\n".join(lines) + "\n", {"rows": rows, "tokens": tokens, "parallel": parallel}


def real_seconds(folder: Path, scenario: Path, shape: dict[str, int]) -> float:
    """How long `wavetank run` takes against a server by its own report, without the start of the process."""
    server = subprocess.Popen(
        [*WAVETANK, "serve", str(scenario), "--port", "0"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        assert server.stdout is not None
        address = re.search(r"http://127\.0\.0\.1:\d+", server.stdout.readline())
        assert address is not None
        words = [
            "run",
            str(rows_of(folder, shape)),
            "-o",
            str(folder / "out.csv"),
            "--model",
            "m",
            "-j",
            str(shape["parallel"]),
        ]
        words += ["--provider", "openai-compatible", "--base-url", f"{address.group()}/v1"]
        environment = os.environ | {"OPENAI_API_KEY": "key"}
        command = [*WAVETANK, *words]
        said = subprocess.run(command, check=True, capture_output=True, text=True, env=environment).stdout
        return seconds_in(said)
    finally:
        server.kill()
        server.wait()


def rehearsed_seconds(folder: Path, scenario: Path, shape: dict[str, int]) -> float:
    """How long the same run takes in virtual time, over HTTP all the same: a busy machine changes nothing."""
    words = ["run", str(rows_of(folder, shape)), "-o", str(folder / "out.csv"), "--model", "m"]
    words += ["-j", str(shape["parallel"]), "--scenario", str(scenario)]
    said = subprocess.run([*WAVETANK, *words], check=True, capture_output=True, text=True).stdout
    return seconds_in(said)


def rows_of(folder: Path, shape: dict[str, int]) -> Path:
    """A table of prompts."""
    rows = folder / "rows.jsonl"
    prompts = (f"{n} " + "wave " * 20 for n in range(shape["rows"]))
    rows.write_text("".join(json.dumps({"prompt": prompt}) + "\n" for prompt in prompts))
    return rows


def seconds_in(report: str) -> float:
    """The time that the report of a run states."""
    found = re.search(r"rows have answers; (?:(\d+)m)?([\d.]+)s", report)
    assert found is not None, report
    return 60 * int(found[1] or 0) + float(found[2])


def forecast(scenario: Path, shape: dict[str, int]) -> dict[str, Any]:
    """The answer for the same set-up."""
    words = ["forecast", "--rows", str(shape["rows"]), "--input-tokens", "21", "--json", "--seeds", "3"]
    words += [
        "--output-tokens",
        str(shape["tokens"]),
        "--scenario",
        str(scenario),
        "-j",
        str(shape["parallel"]),
    ]
    said = subprocess.run([*WAVETANK, *words], check=True, capture_output=True, text=True).stdout
    [found] = json.loads(said)["forecasts"]
    return dict(found)


def main() -> None:
    """Compare some set-ups."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--first", type=int, default=0, help="the number of the first set-up")
    parser.add_argument("--set-ups", type=int, default=20)
    parser.add_argument("--rehearsed", action="store_true", help="compare with virtual time instead")
    options = parser.parse_args()
    print("set-up  rows  -j  forecast    real     off  binds")
    for number in range(options.first, options.first + options.set_ups):
        text, shape = drawn(number)
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            scenario = folder / "s.toml"
            scenario.write_text(text)
            found = forecast(scenario, shape)
            expected = found["time"]["median"]
            seconds = rehearsed_seconds if options.rehearsed else real_seconds
            real = seconds(folder, scenario, shape)
        off = expected / real - 1
        print(
            f"{number:6}  {shape['rows']:4}  {shape['parallel']:2}  {expected:7.2f}s  {real:6.2f}s"
            f"  {off:+6.1%}  {found['binds']}",
            flush=True,
        )


if __name__ == "__main__":
    main()
