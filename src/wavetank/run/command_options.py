"""The options of one run, as a value."""

from __future__ import annotations

import argparse
import hashlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeVar, final

from ..processor import Bounds
from .input_table import JSON_LINES, ColumnNames
from .providers import PROVIDERS, ProviderApi, RequestSettings
from .row_processor import RunPace
from .run_arguments import DEFAULT_PARALLEL, DEFAULT_POLL
from .run_errors import RunError
from .target import Target

V = TypeVar("V")

_DIRECT_ONLY: Final = (
    "parallel",
    "rate",
    "token_rate",
    "share",
    "share_of",
    "preflight",
    "fail_fast",
    "max_seconds",
    "max_requests",
    "max_total_tokens",
    "max_cost",
    "on_quota",
)
"""The options that are about requests which the run sends one by one."""
_BATCHES_ONLY: Final = ("batch_rows", "enqueued_tokens", "poll", "retries", "cancel")


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class BatchOptions:
    """How rows are sent through a batch API.

    `most_rows` bounds a batch, and `enqueued_tokens` all unfinished batches of a model. `poll_seconds`
    is the longest pause between two looks at a batch. `retries` is how often a row is sent again. With
    `cancel` nothing is sent: the batches under way are cancelled.
    """

    most_rows: int | None = None
    enqueued_tokens: int | None = None
    poll_seconds: float = DEFAULT_POLL
    retries: int = 0
    cancel: bool = False


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class CommandOptions:
    """The options of one run."""

    input: Path
    output: Path
    columns: ColumnNames
    provider: ProviderApi
    request: RequestSettings
    base_urls: Mapping[str, str]
    pace: RunPace
    per_model: Mapping[str, Mapping[str, float]]
    verbose: int
    preflight: bool
    timeout_seconds: float
    journal: Path | None
    resume: bool
    retry_failed: bool
    scenario: str | None
    seed: int
    share: str | None = None
    share_of: int | None = None
    timeline: Path | None = None
    batch: BatchOptions | None = None

    @property
    def target(self) -> Target:
        """The target of rows that name none."""
        return Target(self.provider.name, self.request.model)

    @property
    def settings(self) -> Mapping[str, str]:
        """The options that decide the answers; the journal refuses to resume with others."""
        request = self.request
        prompt = (request.system or "").encode(errors="surrogatepass")
        system = hashlib.blake2b(prompt, digest_size=8).hexdigest() if prompt else None
        settings = {
            "--provider": self.provider.name,
            "--model": request.model or None,
            "--system (its digest)": system,
            "--max-tokens": request.max_tokens,
            "--temperature": request.temperature,
            "--batch": None if self.batch is None else "yes",
        }
        return {name: str(value) for name, value in settings.items() if value is not None}


def read_options(arguments: argparse.Namespace) -> CommandOptions:
    """The options in the parsed arguments.

    Raises:
        RunError: an argument is missing, or two contradict each other.
    """
    provider = PROVIDERS[arguments.provider]
    batch = _batch(arguments)
    if arguments.input is None or arguments.output is None:
        raise RunError("name the INPUT with the rows, and the file for the answers with --output")
    journal = arguments.journal
    if batch is not None and journal is None:
        # A batch takes up to a day: without a journal, an interruption would lose what is paid for.
        journal = arguments.output.with_name(f"{arguments.output.name}.journal")
    _refuse_contradictions(arguments, journal)
    return CommandOptions(
        input=arguments.input,
        output=arguments.output,
        columns=ColumnNames(
            arguments.prompt_column,
            arguments.id_column,
            arguments.template,
            arguments.model_column,
            arguments.provider_column,
        ),
        provider=provider,
        request=RequestSettings(
            arguments.model, arguments.system, arguments.max_tokens, arguments.temperature
        ),
        base_urls=base_urls(arguments),
        pace=_pace(arguments),
        per_model={
            "--rate": each_once("--rate", arguments.rate),
            "--token-rate": each_once("--token-rate", arguments.token_rate),
            "--price-input": each_once("--price-input", arguments.price_input),
            "--price-output": each_once("--price-output", arguments.price_output),
        },
        verbose=arguments.verbose,
        preflight=arguments.preflight,
        timeout_seconds=arguments.timeout,
        journal=journal,
        resume=arguments.resume,
        retry_failed=arguments.retry_failed,
        scenario=arguments.scenario,
        seed=arguments.seed,
        share=arguments.share,
        share_of=arguments.share_of,
        timeline=arguments.timeline,
        batch=batch,
    )


def _refuse_contradictions(arguments: argparse.Namespace, journal: Path | None) -> None:
    """Refuse options of which one needs another, and files that are used twice.

    Raises:
        RunError: there are such.
    """
    if arguments.resume and journal is None:
        raise RunError("--resume needs the --journal of the run to resume")
    if arguments.timeline is not None and arguments.scenario is None:
        raise RunError("--timeline draws a rehearsal: add --scenario NAME, such as --scenario cascade")
    if arguments.share_of is not None and arguments.share is None:
        raise RunError("--share-of divides the limits that --share shares: add --share, such as --share auto")
    if arguments.retry_failed and not arguments.resume:
        raise RunError("--retry-failed needs --resume")
    if arguments.output.suffix.lower() not in (".csv", *JSON_LINES):
        raise RunError(f"--output {arguments.output}: name a file that ends with .csv or .jsonl")
    if arguments.output.resolve() == arguments.input.resolve():
        raise RunError("--output is the input itself; name another file")
    if journal is not None and journal.resolve() == arguments.output.resolve():
        raise RunError("--journal and --output are the same file; give each its own")


def _batch(arguments: argparse.Namespace) -> BatchOptions | None:
    """How rows are sent through a batch API, or `None` if they are sent one by one.

    Raises:
        RunError: an option is for the other way.
    """
    if not arguments.batch:
        if given := _given(arguments, _BATCHES_ONLY):
            raise RunError(f"{given} is about batches: add --batch, or leave it out")
        return None
    if given := _given(arguments, _DIRECT_ONLY):
        raise RunError(
            f"{given} is about rows that are sent one by one, and with --batch the provider sets the pace: "
            "leave it out, or run without --batch"
        )
    if arguments.cancel and not arguments.resume:
        raise RunError("--cancel needs --resume: it cancels the batches in the journal of a run")
    if arguments.cancel and arguments.scenario is not None:
        raise RunError("--cancel cancels the batches of a journal, and a rehearsal has none: leave one out")
    return BatchOptions(
        most_rows=arguments.batch_rows,
        enqueued_tokens=arguments.enqueued_tokens,
        poll_seconds=arguments.poll or DEFAULT_POLL,
        retries=arguments.retries or 0,
        cancel=arguments.cancel,
    )


def _given(arguments: argparse.Namespace, names: Sequence[str]) -> str:
    """The first of these options that has another value than its default, as it is written."""
    defaults: dict[str, Any] = {"parallel": DEFAULT_PARALLEL, "on_quota": "fail"}
    for name in names:
        value = getattr(arguments, name)
        if value is not None and value is not False and value != [] and value != defaults.get(name):
            return f"--{name.replace('_', '-')}"
    return ""


def _pace(arguments: argparse.Namespace) -> RunPace:
    bounds = Bounds(
        seconds=arguments.max_seconds,
        requests=arguments.max_requests,
        tokens=arguments.max_total_tokens,
        cost=arguments.max_cost,
    )
    return RunPace(
        parallel=arguments.parallel,
        bounds=None if bounds == Bounds() else bounds,
        on_quota=arguments.on_quota,
        fail_fast=arguments.fail_fast,
        max_outage_seconds=arguments.max_outage,
        order="input" if arguments.batch else arguments.order,
    )


def base_urls(arguments: argparse.Namespace) -> Mapping[str, str]:
    """The addresses that options give, by the names of their providers.

    Raises:
        RunError: a provider has two.
    """
    given = [(name or arguments.provider, url) for name, url in arguments.base_url]
    return each_once("--base-url", given)


def address_of(urls: Mapping[str, str], provider: ProviderApi) -> str | None:
    """The address of a provider: that of `base_urls`, or the one in the environment.

    Raises:
        RunError: that in the environment is no URL.
    """
    return urls.get(provider.name) or provider.address(os.environ)


def each_once(option: str, given: Sequence[tuple[str, V]]) -> Mapping[str, V]:
    """The values of an option by the names they are for; an empty name is for all.

    Raises:
        RunError: a name has two.
    """
    names = [name for name, _ in given]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise RunError(f"{option} is given twice{f' for {twice}' if twice else ''}; give it once")
    return dict(given)
