"""The command-line arguments of `wavetank run`; this module imports nothing heavy."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any, Final

from ..arguments import count, seconds, seed
from ..text import did_you_mean, parse_positive

PROVIDER_NAMES: Final = (
    "anthropic",
    "gemini",
    "mistral",
    "ollama",
    "openai",
    "openai-compatible",
    "openrouter",
)

EXIT_CODES: Final = """exit status:
  0    every row has an answer
  1    some rows failed or were left out; the others have their answers
  2    invalid arguments, or an input, output, journal or key that has to be fixed first
  3    the run was stopped: the provider is away or refuses the key or the model,
       or the output or the journal cannot be written
  130  interrupted by Ctrl-C; the journal is whole, and the line to resume was printed
"""

DEFAULT_PARALLEL: Final = 10
"""The default of the processor's `workers`."""
DEFAULT_MAX_OUTAGE: Final = 600.0
"""The default of the processor's `max_outage_seconds`."""
DEFAULT_POLL: Final = 600.0
"""Batches take minutes to a day: a tenth of an hour more is little, and 150 looks a day are few."""
DEFAULT_TIMEOUT: Final = 120.0
"""Reasoning models may send no byte for a minute or more."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `wavetank run` to a parser."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = EXIT_CODES
    parser.add_argument(
        "input",
        metavar="INPUT",
        type=Path,
        nargs="?",
        help="rows: .csv with the column names in the first line, or .jsonl",
    )
    parser.add_argument("--output", "-o", metavar="FILE", type=Path, help=".csv or .jsonl")
    parser.add_argument(
        "--verbose",
        "-v",
        action="count",
        default=0,
        help="print each refusal, pause, retry and stop; twice: also each change of the rate and each row",
    )
    _add_rows(parser.add_argument_group("rows"))
    _add_provider(parser.add_argument_group("provider"))
    _add_pace(parser.add_argument_group("pace"))
    _add_batches(parser.add_argument_group("batches"))
    _add_resuming(parser.add_argument_group("resuming"))
    _add_rehearsal(parser.add_argument_group("rehearsal"))


def _add_rows(group: Any) -> None:
    group.add_argument("--prompt-column", metavar="NAME", default="prompt", help="default prompt")
    group.add_argument(
        "--id-column", metavar="NAME", default="id", help="default id; without it row-1, row-2, …"
    )
    for what in ("model", "provider"):
        group.add_argument(
            f"--{what}-column", metavar="NAME", default=what, help=f"a row's own {what} (default {what})"
        )
    group.add_argument(
        "--template", metavar="TEXT", help="the prompt, in which {column} is a cell of the row"
    )


def _add_provider(group: Any) -> None:
    group.add_argument(
        "--provider",
        type=_provider,
        default="openai",
        metavar="NAME",
        help=f"{', '.join(PROVIDER_NAMES)} (default openai)",
    )
    group.add_argument("--model", metavar="NAME", default="", help="the model of rows that name none")
    group.add_argument("--list-models", action="store_true", help="print the provider's models and exit")
    group.add_argument(
        "--base-url",
        metavar="[PROVIDER=]URL",
        type=_base_url,
        action="append",
        default=[],
        help="the address of the API, once for each provider (default: OPENAI_BASE_URL and the like, as "
        "the SDKs read them, or else the provider's own)",
    )
    group.add_argument("--system", metavar="TEXT", help="system prompt of every request")
    group.add_argument("--max-tokens", type=count, metavar="N", help="the most tokens of an answer")
    group.add_argument("--temperature", type=float, metavar="T")
    group.add_argument(
        "--timeout",
        type=seconds,
        default=DEFAULT_TIMEOUT,
        metavar="S",
        help="seconds without a byte (default 120)",
    )


def _add_pace(group: Any) -> None:
    add_rates(group, parallel=DEFAULT_PARALLEL)
    group.add_argument(
        "--share",
        type=_shared,
        metavar="PLACE",
        help="share limits with other processes: redis://host:6379/0, file:PATH, or auto for this machine",
    )
    group.add_argument(
        "--share-of",
        type=count,
        metavar="N",
        help="keep to 1/N of the limits while the place of --share cannot be reached and never was",
    )
    group.add_argument("--preflight", action="store_true", help="send one short request before the rows")
    group.add_argument("--order", choices=("completed", "input"), default="completed", help="of the output")
    group.add_argument("--fail-fast", action="store_true", help="send nothing more after a row that failed")
    add_bounds(group, max_outage=DEFAULT_MAX_OUTAGE)
    for side in ("input", "output"):
        group.add_argument(
            f"--price-{side}",
            type=_per_model_value(_price),
            action="append",
            default=[],
            metavar="[MODEL=]C",
            help=f"what a million tokens of {side} cost, for all models or for one",
        )
    group.add_argument(
        "--on-quota",
        choices=("fail", "wait"),
        default="fail",
        help="a spent quota: leave the rest for later (default), or wait if it says when it resets",
    )


def add_rates(group: Any, *, parallel: int | None) -> None:
    """Add the options for how fast rows are sent; `parallel` is the default of `-j`."""
    group.add_argument(
        "--parallel",
        "-j",
        type=count,
        default=parallel,
        metavar="N",
        help=f"requests under way at once (default {DEFAULT_PARALLEL})",
    )
    for name, what in (("--rate", "requests"), ("--token-rate", "tokens")):
        group.add_argument(
            name,
            type=_per_model_value(_per_minute),
            action="append",
            default=[],
            metavar="[MODEL=]N/s|N/m",
            help=f"the known limit of {what}, of each model or of one",
        )


def add_bounds(group: Any, *, max_outage: float | None) -> None:
    """Add the options that bound a run; `max_outage` is the default of `--max-outage`."""
    group.add_argument(
        "--max-seconds", type=seconds, metavar="S", help="cancel the requests that are not done by then"
    )
    group.add_argument(
        "--max-outage",
        type=_outage,
        default=max_outage,
        metavar="S",
        help="stop if the provider is away for so long (default 600); the rows stay open",
    )
    group.add_argument("--max-requests", type=count, metavar="N", help="send at most so many requests")
    group.add_argument(
        "--max-total-tokens", type=count, metavar="N", help="send nothing more once they are spent"
    )
    group.add_argument(
        "--max-cost", type=_positive, metavar="C", help="send nothing more once the answers cost this"
    )


def _add_batches(group: Any) -> None:
    group.add_argument(
        "--batch", action="store_true", help="send the rows through the provider's batch API: half the price"
    )
    group.add_argument("--batch-rows", type=count, metavar="N", help="the most rows of one batch")
    group.add_argument(
        "--enqueued-tokens",
        type=count,
        metavar="N",
        help="the provider's limit of tokens in unfinished batches of a model; an unknown one is learnt",
    )
    group.add_argument(
        "--poll",
        type=seconds,
        metavar="S",
        help=f"the longest pause between two looks at a batch (default {DEFAULT_POLL:.0f})",
    )
    group.add_argument(
        "--retries",
        type=_whole,
        metavar="N",
        help="send rows that expired or met a limit again in a next batch, so often (default 0)",
    )
    group.add_argument(
        "--cancel", action="store_true", help="with --resume: cancel the batches, and keep what they did"
    )


def _add_resuming(group: Any) -> None:
    group.add_argument(
        "--journal", metavar="FILE", type=Path, help="store each request and each outcome here"
    )
    group.add_argument("--resume", action="store_true", help="continue the run in the journal, or start one")
    group.add_argument(
        "--retry-failed", action="store_true", help="with --resume: send the failed rows again"
    )


def _add_rehearsal(group: Any) -> None:
    group.add_argument(
        "--scenario",
        metavar="NAME|PATH",
        help="rehearse against the fake provider in virtual time: no key, no request, no file",
    )
    group.add_argument(
        "--seed", type=seed, default=0, metavar="N", help="seed of the rehearsal's random choices (default 0)"
    )
    group.add_argument(
        "--timeline", type=Path, metavar="FILE", help="write a picture of the rehearsal to this file (HTML)"
    )


def _provider(text: str) -> str:
    if text not in PROVIDER_NAMES:
        raise argparse.ArgumentTypeError(f"there is no provider {text!r}; {suggestion(text, PROVIDER_NAMES)}")
    return text


def _base_url(text: str) -> tuple[str, str]:
    """The provider, or an empty text, and its address."""
    name, equals, url = text.partition("=")
    if not equals or "/" in name:
        return "", text
    return _provider(name), url


def _per_model_value(read: Callable[[str], float]) -> Callable[[str], tuple[str, float]]:
    """A parser of `[MODEL=]VALUE`: the model, or an empty text, and the value."""

    def value(text: str) -> tuple[str, float]:
        model, _, number = text.rpartition("=")
        return model, read(number)

    return value


def suggestion(name: str, names: Collection[str]) -> str:
    """The name that was probably meant, or else all names.

    >>> suggestion("opnai", ["gemini", "openai"]), suggestion("xyz", ["gemini", "openai"])
    ("did you mean 'openai'?", 'there are gemini, openai')
    """
    return did_you_mean(name, names) or f"there are {', '.join(names)}"


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


def _outage(text: str) -> float:
    """Seconds from 0 on; `inf` waits for ever."""
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not value >= 0:
        raise argparse.ArgumentTypeError(f"{text!r} is no time: give seconds from 0 on, or inf")
    return value


def _shared(text: str) -> str:
    # It is parsed here for the error alone; the processor parses it again.
    from ..processor.shared.address import parse_address

    try:
        parse_address(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error).removeprefix("shared=")) from None
    return text


def _whole(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is no count: give a whole number from 0 on")
    return int(text)


def _price(text: str) -> float:
    try:
        price = float(text)
    except ValueError:
        price = -1.0
    if not 0 <= price < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} is no price: give a number from 0 on")
    return price


def _positive(text: str) -> float:
    try:
        return parse_positive(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
