"""The workload of a forecast from a table of prompts, a usage log, or counts and ranges."""

from __future__ import annotations

import importlib
from array import array
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import cycle, islice
from pathlib import Path
from typing import Any, Final, final

from ..run.input_table import ColumnNames, read_table
from ..run.run_errors import RunError
from ..run.target import Target
from ..scenario import ScenarioError, TokenRange, UsageFile
from ..scenario.errors import Place
from ..shown import shortened
from .errors import ForecastError
from .workload import Workload

CHARACTERS_PER_TOKEN: Final = 4
"""OpenAI's rule of thumb for English text, where no tokenizer is installed."""
TOKENS_PER_MESSAGE: Final = 7
"""What a chat request has around its one message (OpenAI's cookbook, "How to count tokens with tiktoken")."""
ASSUMED_OUTPUT: Final = TokenRange(100, 500)
"""The length of answers where nothing states it: one to a few paragraphs."""
_ENCODING: Final = "o200k_base"
"""That of OpenAI's models since gpt-4o; others' differ by about a tenth in English."""


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class RowOptions:
    """Where the rows come from: a table, a usage log, both, or neither.

    Args:
        table: a CSV file or JSON lines with prompts.
        prompt_column, template: as in `wavetank run`.
        usage: a log with the tokens of requests, and perhaps how long they took.
        rows: how many rows; by default those of the table, or of the log.
        input: the tokens of a prompt, where neither the table nor the log says it.
        output: the tokens of an answer, where the log does not say it.
        arrival: over how many nanoseconds the rows arrive.
    """

    table: Path | None = None
    prompt_column: str = "prompt"
    template: str | None = None
    usage: Path | None = None
    rows: int | None = None
    input: TokenRange | None = None
    output: TokenRange | None = None
    arrival: int = 0


def read_workload(options: RowOptions) -> tuple[Workload, list[str]]:
    """The workload, and what was assumed for it, one sentence each.

    Raises:
        ForecastError: there are no rows, a file cannot be read, or a column is missing.
    """
    if options.usage is not None and options.output is not None:
        raise ForecastError("--usage has the lengths of answers, and so has --output-tokens: leave one out")
    said: list[str] = []
    counted = None if options.table is None else _counted(options, said)
    usage = () if options.usage is None else _usage(options.usage)
    rows = options.rows or (len(counted) if counted is not None else len(usage))
    if not rows:
        raise ForecastError(
            "there are no rows: name a table, a --usage log, or --rows N with --input-tokens A..B"
        )
    if counted is not None and len(counted) != rows:
        said.append(
            f"rows: the lengths of the {len(counted):,} rows of the table, in turn, for {rows:,} rows"
        )
        counted = array("q", islice(cycle(counted), rows))
    workload = Workload(
        rows=rows,
        input=_input(options, counted, usage),
        output=options.output or ASSUMED_OUTPUT,
        counted=counted,
        usage=usage,
        arrival=options.arrival,
    )
    said += _lengths(options, counted, workload)
    return workload, said


def _input(options: RowOptions, counted: Sequence[int] | None, usage: Sequence[Any]) -> TokenRange:
    known = counted is not None or (usage and all(row.prompt_tokens is not None for row in usage))
    if options.input is None and not known:
        where = f"{options.usage} has no input_tokens" if usage else "the length of the prompts is not known"
        raise ForecastError(f"{where}: give --input-tokens, such as 900 or 500..1500")
    return options.input or TokenRange(0, 0)


def _counted(options: RowOptions, said: list[str]) -> Sequence[int]:
    assert options.table is not None
    names = ColumnNames(
        prompt_column=options.prompt_column, template=options.template, model_column="", provider_column=""
    )
    try:
        table = read_table(options.table, names, Target("openai", "model"))
    except RunError as error:
        raise ForecastError(str(error)) from None
    count, how = _counter()
    said.append(f"prompts: {len(table.items):,} rows of {options.table}; {how}")
    return array("q", (count(item.prompt) + TOKENS_PER_MESSAGE for item in table.items))


def _counter() -> tuple[Callable[[str], int], str]:
    """How the tokens of a prompt are counted, and the same in words."""
    more = f"and {TOKENS_PER_MESSAGE} more for each request"
    rule = f"one token for {CHARACTERS_PER_TOKEN} characters {more}"
    try:
        encoding = importlib.import_module("tiktoken").get_encoding(_ENCODING)
    except ModuleNotFoundError:
        return _by_length, f"{rule} (a rule for English; with tiktoken installed they are counted)"
    except Exception as error:
        # It downloads its vocabulary, and raises whatever its HTTP client raises.
        why = f"{type(error).__name__}: {error}"
        return _by_length, f"{rule} (tiktoken cannot load {_ENCODING}: {shortened(why, 100)})"
    return lambda text: len(
        encoding.encode_ordinary(text)
    ), f"tokens counted with {_ENCODING} of tiktoken, {more}"


def _by_length(text: str) -> int:
    return -(-len(text) // CHARACTERS_PER_TOKEN)


def _usage(path: Path) -> tuple[Any, ...]:
    try:
        return UsageFile.read(Place("--usage").key("file"), str(path)).rows
    except ScenarioError as error:
        raise ForecastError(str(error)) from None


def _lengths(options: RowOptions, counted: Sequence[int] | None, workload: Workload) -> list[str]:
    said = []
    if counted is None and not workload.usage:
        said.append(f"prompts: {_span(workload.input)}, each length as likely as another")
    if workload.usage:
        near = ", from its rows with prompts of about that length" if counted is not None else ""
        timed = any(row.lasts is not None for row in workload.usage)
        what = "lengths and latencies" if timed else "lengths"
        said.append(
            f"answers: {what} drawn together from the {len(workload.usage):,} rows of {options.usage}{near}"
        )
    else:
        assumed = "" if options.output is not None else " (assumed: --output-tokens or --usage says better)"
        said.append(f"answers: {_span(workload.output)}, each length as likely as another{assumed}")
    if workload.arrival:
        said.append("arrival: each row at a random instant of that time")
    return said


def _span(span: TokenRange) -> str:
    return f"{span.low:,} tokens" if span.low == span.high else f"{span.low:,} to {span.high:,} tokens"
