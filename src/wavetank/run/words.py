"""The words of `wavetank run` on the command line; nothing heavy is imported for them."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any, Final

from ..arguments import count, seed

PROVIDER_NAMES: Final = ("anthropic", "gemini", "ollama", "openai", "openai-compatible", "openrouter")

EXIT_CODES: Final = """exit status:
  0    every row has an answer
  1    some rows failed or were left out; the others have their answers
  2    wrong words, or an input, output, journal or key that has to be mended first
  3    the run was stopped: the output or the journal cannot be written
  130  interrupted by Ctrl-C; the journal is whole, and the line to resume was printed
"""

DEFAULT_PARALLEL: Final = 10
DEFAULT_TIMEOUT: Final = 120.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the words of `wavetank run` to a parser."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = EXIT_CODES
    parser.add_argument(
        "input", metavar="INPUT", type=Path, help="rows: .csv with a first line of names, or .jsonl"
    )
    parser.add_argument("--output", "-o", metavar="FILE", type=Path, required=True, help=".csv or .jsonl")
    _add_rows(parser.add_argument_group("rows"))
    _add_provider(parser.add_argument_group("provider"))
    _add_pace(parser.add_argument_group("pace"))
    _add_resuming(parser.add_argument_group("resuming"))
    _add_rehearsal(parser.add_argument_group("rehearsal"))


def _add_rows(group: Any) -> None:
    group.add_argument("--prompt-column", metavar="NAME", default="prompt", help="default prompt")
    group.add_argument(
        "--id-column", metavar="NAME", default="id", help="default id; without it row-1, row-2, …"
    )
    group.add_argument("--template", metavar="TEXT", help="the prompt, with {column} for a row's own")


def _add_provider(group: Any) -> None:
    group.add_argument("--provider", choices=PROVIDER_NAMES, default="openai", help="default openai")
    group.add_argument("--model", metavar="NAME", required=True)
    group.add_argument(
        "--base-url", metavar="URL", help="where the API is, if not at the provider's own address"
    )
    group.add_argument("--system", metavar="TEXT", help="system prompt of every request")
    group.add_argument("--max-tokens", type=count, metavar="N", help="the most that an answer may have")
    group.add_argument("--temperature", type=float, metavar="T")
    group.add_argument(
        "--timeout",
        type=_seconds,
        default=DEFAULT_TIMEOUT,
        metavar="S",
        help="seconds without a byte (default 120)",
    )


def _add_pace(group: Any) -> None:
    group.add_argument(
        "--parallel",
        "-j",
        type=count,
        default=DEFAULT_PARALLEL,
        metavar="N",
        help=f"requests under way at once (default {DEFAULT_PARALLEL})",
    )
    group.add_argument(
        "--rate", type=_per_minute, metavar="N/s|N/m", help="the provider's limit of requests, if known"
    )
    group.add_argument(
        "--token-rate", type=_per_minute, metavar="N/s|N/m", help="the provider's limit of tokens, if known"
    )
    group.add_argument("--preflight", action="store_true", help="ask one short question before the rows")
    group.add_argument("--order", choices=("completed", "input"), default="completed", help="of the output")
    group.add_argument("--fail-fast", action="store_true", help="send nothing more after a row that failed")
    group.add_argument("--max-seconds", type=_seconds, metavar="S", help="cancel what is not done by then")
    group.add_argument("--max-requests", type=count, metavar="N", help="send no more than these")
    group.add_argument("--max-total-tokens", type=count, metavar="N", help="send nothing once they are spent")
    group.add_argument("--max-cost", type=_seconds, metavar="C", help="the same for what the answers cost")
    for side in ("input", "output"):
        group.add_argument(
            f"--price-{side}", type=_price, metavar="C", help=f"what a million tokens of {side} cost"
        )
    group.add_argument(
        "--on-quota",
        choices=("fail", "wait"),
        default="fail",
        help="a spent quota: leave the rest for later (default), or wait where it says when it resets",
    )


def _add_resuming(group: Any) -> None:
    group.add_argument("--journal", metavar="FILE", type=Path, help="keep what was sent and what came of it")
    group.add_argument(
        "--resume", action="store_true", help="go on where the journal was left; begins it if there is none"
    )
    group.add_argument(
        "--retry-failed", action="store_true", help="with --resume: try rows again that failed"
    )


def _add_rehearsal(group: Any) -> None:
    group.add_argument(
        "--scenario",
        metavar="NAME|PATH",
        help="rehearse in virtual time against the fake: no key, no request, no file",
    )
    group.add_argument(
        "--seed", type=seed, default=0, metavar="N", help="seed of the rehearsal's picks (default 0)"
    )


def _per_minute(text: str) -> float:
    number, _, unit = text.replace("_", "").partition("/")
    try:
        rate = float(number) * {"s": 60.0, "m": 1.0}[unit]
    except (KeyError, ValueError):
        rate = 0.0
    if not 0 < rate < float("inf"):
        raise argparse.ArgumentTypeError(
            f"{text!r} is no rate: give a number and a unit, such as 10/s or 600/m"
        )
    return rate


def _price(text: str) -> float:
    try:
        price = float(text)
    except ValueError:
        price = -1.0
    if not 0 <= price < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} is no price: give a number from 0 on")
    return price


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} is no such number: give one above 0")
    return seconds
