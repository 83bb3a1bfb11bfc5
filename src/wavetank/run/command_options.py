"""The options of one run, as a value."""

from __future__ import annotations

import argparse
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar, final

from ..processor import Bounds
from .input_table import JSON_LINES, ColumnNames
from .providers import PROVIDERS, ProviderApi, RequestSettings
from .row_processor import RunPace
from .run_errors import RunError
from .target import Target

V = TypeVar("V")


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
    timeline: Path | None = None

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
        }
        return {name: str(value) for name, value in settings.items() if value is not None}


def read_options(arguments: argparse.Namespace) -> CommandOptions:
    """The options in the parsed arguments.

    Raises:
        RunError: an argument is missing, or two contradict each other.
    """
    provider = PROVIDERS[arguments.provider]
    if arguments.input is None or arguments.output is None:
        raise RunError("name the INPUT with the rows, and the file for the answers with --output")
    if arguments.resume and arguments.journal is None:
        raise RunError("--resume needs the --journal of the run to resume")
    if arguments.timeline is not None and arguments.scenario is None:
        raise RunError("--timeline draws a rehearsal: add --scenario NAME, such as --scenario cascade")
    if arguments.retry_failed and not arguments.resume:
        raise RunError("--retry-failed needs --resume")
    if arguments.output.suffix.lower() not in (".csv", *JSON_LINES):
        raise RunError(f"--output {arguments.output}: name a file that ends with .csv or .jsonl")
    if arguments.output.resolve() == arguments.input.resolve():
        raise RunError("--output is the input itself; name another file")
    if arguments.journal is not None and arguments.journal.resolve() == arguments.output.resolve():
        raise RunError("--journal and --output are the same file; give each its own")
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
        journal=arguments.journal,
        resume=arguments.resume,
        retry_failed=arguments.retry_failed,
        scenario=arguments.scenario,
        seed=arguments.seed,
        timeline=arguments.timeline,
    )


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
        order=arguments.order,
    )


def base_urls(arguments: argparse.Namespace) -> Mapping[str, str]:
    """The given addresses, by the names of their providers.

    Raises:
        RunError: a provider has two.
    """
    given = [(name or arguments.provider, url) for name, url in arguments.base_url]
    return each_once("--base-url", given)


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
