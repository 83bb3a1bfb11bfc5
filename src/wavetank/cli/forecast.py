"""`wavetank forecast`: how long a batch will take, what it will cost, and what holds it back."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeVar

from ..arguments import count, seconds, seed
from .common import CommandError, add_json, check_folders, limit_number, print_json, write_file

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ..forecast.cases import Question
    from ..forecast.rows import RowOptions
    from ..scenario import DurationRange, Latency, TokenRange

T = TypeVar("T")

_PARALLEL: Final = (10, 50, 200)
"""Without -j: from a cautious number to what one process still sends."""
_BACKWARDS: Final = "the range ends before it begins"

_OF_RUN: Final = {
    "--max-tokens": "--output-tokens A..B says how long the answers are",
    "--provider": "--limits names provider, model and tier, such as anthropic/claude-sonnet/tier-2",
    "--rate": "--set requests_per_minute=N sets that limit",
    "--token-rate": "--set tokens_per_minute=N sets that limit",
}
"""What takes the place of options that a command line of `wavetank run` may have."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command to a parser, and what it does."""
    _add_rows(parser)
    _add_provider(parser)
    _add_runs(parser)
    parser.set_defaults(command=_run, on_unknown=_in_place_of)


def _in_place_of(unknown: Sequence[str]) -> str:
    """What to write in the place of options of `wavetank run`, of which many have no meaning here."""
    from ..run import run_arguments

    run = argparse.ArgumentParser(add_help=False)
    run_arguments.add_arguments(run)
    known = {name for action in run._actions for name in action.option_strings}
    given = list(dict.fromkeys(name for word in unknown if (name := word.partition("=")[0]) in known))
    needless = [name for name in given if name not in _OF_RUN]
    said = [f"for {name}: {_OF_RUN[name]}" for name in given if name in _OF_RUN]
    if needless:
        said.append(f"leave out {', '.join(needless)}, which a forecast does not need")
    return "; ".join(said)


def _add_rows(parser: argparse.ArgumentParser) -> None:
    rows = parser.add_argument_group("rows")
    rows.add_argument("table", nargs="?", type=Path, metavar="FILE", help="CSV or JSON lines with prompts")
    rows.add_argument("--prompt-column", default="prompt", metavar="NAME", help="the column of the prompts")
    rows.add_argument("--template", help="makes a prompt from the columns of a row, as in `wavetank run`")
    rows.add_argument("--rows", type=count, metavar="N", help="how many rows, without a file of prompts")
    rows.add_argument("--input-tokens", metavar="A..B", help="tokens of a prompt, such as 900 or 500..1500")
    rows.add_argument("--output-tokens", metavar="A..B", help="tokens of an answer (assumed: 100..500)")
    rows.add_argument(
        "--usage",
        type=Path,
        metavar="FILE",
        help="a log with input_tokens, output_tokens and seconds, to draw lengths and latencies from",
    )
    rows.add_argument("--arrival", metavar="TIME", help="the rows arrive over this time, such as 8h")


def _add_provider(parser: argparse.ArgumentParser) -> None:
    provider = parser.add_argument_group("provider (several values, with commas between them, are compared)")
    provider.add_argument(
        "--limits",
        type=_names,
        default=(),
        metavar="NAME",
        help="such as openai/gpt-4o-mini/tier-1, or a .toml",
    )
    provider.add_argument(
        "--model", type=_names, default=(), metavar="NAME", help="replaces the model in --limits"
    )
    provider.add_argument(
        "--set", action="append", default=[], type=limit_number, metavar="LIMIT=N", help="replaces a number"
    )
    provider.add_argument(
        "--scenario", type=_names, default=(), metavar="NAME", help="waves and faults, such as brownout"
    )
    provider.add_argument(
        "--first-token", metavar="A..B", help="the wait for an answer, such as 300ms..900ms"
    )
    provider.add_argument("--tokens-per-second", type=seconds, metavar="N", help="the pace of an answer")
    provider.add_argument("--price-input", type=_price, metavar="USD", help="for a million tokens")
    provider.add_argument("--price-output", type=_price, metavar="USD", help="for a million tokens")


def _add_runs(parser: argparse.ArgumentParser) -> None:
    runs = parser.add_argument_group("runs")
    runs.add_argument(
        "-j", "--parallel", type=_counts, default=_PARALLEL, metavar="N", help="requests at once (10,50,200)"
    )
    runs.add_argument(
        "--client",
        type=_names,
        default=("processor",),
        metavar="NAME",
        help="processor, openai or openai:RETRIES (its SDK), aiolimiter, litellm",
    )
    runs.add_argument(
        "--on-quota", choices=("fail", "wait"), default="fail", help="when a day's quota is spent"
    )
    runs.add_argument("--seed", type=seed, default=0, help="the first seed (default 0)")
    runs.add_argument(
        "--seeds", type=count, metavar="N", help="runs of each case (until the answer is certain)"
    )
    runs.add_argument("--jobs", type=count, metavar="N", help="processes at once (default: one a core)")
    runs.add_argument(
        "--on", metavar="ENGINE", help="make the runs on dask://HOST:PORT, ray or ray://HOST:PORT"
    )
    runs.add_argument("--csv", type=Path, metavar="FILE", help="write the table as CSV")
    runs.add_argument("--html", type=Path, metavar="FILE", help="write a page with a chart")
    add_json(runs)


def _names(text: str) -> tuple[str, ...]:
    names = tuple(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))
    if not names:
        raise argparse.ArgumentTypeError(f"{text!r} names nothing")
    return names


def _counts(text: str) -> tuple[int, ...]:
    return tuple(dict.fromkeys(count(part.strip()) for part in text.split(",")))


def _price(text: str) -> float:
    try:
        price = float(text)
    except ValueError:
        price = -1.0
    if not 0 <= price < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} is no price: give US dollars for a million tokens")
    return price


def _run(options: argparse.Namespace) -> None:
    from contextlib import closing, nullcontext
    from sys import stderr

    from ..engines import EngineError, engine_on
    from ..forecast.cases import cases_of
    from ..forecast.errors import ForecastError
    from ..forecast.page import forecast_page
    from ..forecast.report import as_csv, as_json, assumptions_of, text_lines
    from ..forecast.rows import read_workload
    from ..forecast.runs import forecasts
    from ..progress import display_on, printable

    check_folders(options, "csv", "html")
    try:
        workload, rows = read_workload(_row_options(options))
        cases = cases_of(_question(options), workload)
        elsewhere = nullcontext() if options.on is None else engine_on(options.on)
        with elsewhere as engine, closing(display_on(stderr)) as display:
            found = forecasts(
                cases,
                workload,
                seed=options.seed,
                seeds=options.seeds,
                jobs=options.jobs,
                engine=engine,
                show=display.show,
            )
    except (ForecastError, EngineError) as error:
        raise CommandError(str(error), status=2) from None
    assumptions = assumptions_of(cases, rows)
    # Printed before the files are written, so that one that cannot be written costs no answer.
    if options.json:
        print_json(as_json(found, assumptions))
    else:
        print(*map(printable, text_lines(found, assumptions)), sep="\n")
    if options.csv is not None:
        write_file(options.csv, as_csv(found))
    if options.html is not None:
        write_file(options.html, forecast_page(found, assumptions))


def _row_options(options: argparse.Namespace) -> RowOptions:
    from ..clock import parse_duration
    from ..forecast.rows import RowOptions

    return RowOptions(
        table=options.table,
        prompt_column=options.prompt_column,
        template=options.template,
        usage=options.usage,
        rows=options.rows,
        input=_tokens("--input-tokens", options.input_tokens),
        output=_tokens("--output-tokens", options.output_tokens),
        arrival=_read("--arrival", options.arrival, parse_duration) or 0,
    )


def _question(options: argparse.Namespace) -> Question:
    from ..forecast.cases import Question

    return Question(
        limits=options.limits,
        models=options.model,
        scenarios=options.scenario,
        parallel=options.parallel,
        clients=options.client,
        overrides=dict(options.set),
        latency=_latency(options),
        price_input=options.price_input,
        price_output=options.price_output,
        on_quota=options.on_quota,
    )


def _latency(options: argparse.Namespace) -> Latency | None:
    """The latency of the command line; what one of its two options does not say is as assumed."""
    from ..forecast.cases import ASSUMED_LATENCY
    from ..scenario import Latency

    if options.first_token is None and options.tokens_per_second is None:
        return None
    first = _read("--first-token", options.first_token, _durations)
    return Latency(
        first_token=first or ASSUMED_LATENCY.first_token,
        tokens_per_second=options.tokens_per_second or ASSUMED_LATENCY.tokens_per_second,
    )


def _durations(text: str) -> DurationRange:
    from ..clock import parse_duration
    from ..scenario import DurationRange

    low, _, high = text.partition("..")
    found = DurationRange(parse_duration(low), parse_duration(high or low))
    if found.high < found.low:
        raise ValueError(_BACKWARDS)
    return found


def _tokens(option: str, text: str | None) -> TokenRange | None:
    from ..scenario import TokenRange

    def read(text: str) -> TokenRange:
        low, _, high = (part.replace("_", "").replace(",", "") for part in text.partition(".."))
        if not low.isdecimal() or not (high or low).isdecimal():
            raise ValueError("give a number of tokens, such as 900, or a range, such as 500..1500")
        if int(high or low) < int(low):
            raise ValueError(_BACKWARDS)
        return TokenRange(int(low), int(high or low))

    return _read(option, text, read)


def _read(option: str, text: str | None, read: Callable[[str], T]) -> T | None:
    """What an option says, `None` if it is not given.

    Raises:
        CommandError: it cannot be read.
    """
    if text is None:
        return None
    try:
        return read(text)
    except ValueError as error:
        raise CommandError(f"{option} {text}: {error}", status=2) from None
