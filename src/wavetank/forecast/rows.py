"""The workload of a forecast from a table of prompts, a usage log, or counts and ranges."""

from __future__ import annotations

import importlib
import math
from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import cycle, islice
from pathlib import Path
from typing import Any, Final, final

from ..run.input_table import ColumnNames, read_table
from ..run.run_errors import RunError
from ..run.target import Target
from ..scenario import ScenarioError, TokenRange, UsageFile
from ..scenario.errors import Place
from .errors import ForecastError
from .workload import Workload

CHARACTERS_PER_TOKEN: Final = 4
"""OpenAI's rule of thumb for English text, where no tokenizer is installed."""
TOKENS_PER_MESSAGE: Final = 7
"""What a chat request has around its one message (OpenAI's cookbook, "How to count tokens with tiktoken")."""
ASSUMED_OUTPUT: Final = TokenRange(100, 500)
"""The length of answers where nothing states it: one to a few paragraphs."""
_COUNTED: Final = 2000
"""So many prompts are counted, spread over the table: a tokenizer reads a few megabytes in a second."""
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
    prompts = [item.prompt for item in table.items]
    per_character, how = _tokens_per_character(prompts[:: -(-len(prompts) // _COUNTED)])
    said.append(f"prompts: {len(prompts):,} rows of {options.table}; {how}")
    return array("q", (math.ceil(len(each) * per_character) + TOKENS_PER_MESSAGE for each in prompts))


def _tokens_per_character(sample: Sequence[str]) -> tuple[float, str]:
    """How many tokens a character of these prompts has, and how that is known."""
    more = f"and {TOKENS_PER_MESSAGE} more for each request"
    rule = f"one token for {CHARACTERS_PER_TOKEN} characters {more}"
    try:
        encoding = importlib.import_module("tiktoken").get_encoding(_ENCODING)
    except ModuleNotFoundError:
        return 1 / CHARACTERS_PER_TOKEN, f"{rule} (a rule for English; install tiktoken to count them)"
    except Exception as error:
        # It downloads its vocabulary, and raises whatever its HTTP client raises.
        why = f"they are not counted, as tiktoken cannot load {_ENCODING}: {type(error).__name__}"
        return 1 / CHARACTERS_PER_TOKEN, f"{rule} (a rule for English; {why})"
    tokens = sum(len(encoding.encode_ordinary(text)) for text in sample)
    found = tokens / max(1, sum(map(len, sample)))
    how = f"{found:.3f} tokens for a character, as {_ENCODING} of tiktoken counts {len(sample):,} of them"
    return found, f"{how}, {more}"


def _usage(path: Path) -> tuple[Any, ...]:
    try:
        return UsageFile.read(Place("--usage"), str(path)).rows
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
