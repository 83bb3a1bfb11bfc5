"""What `wavetank run` is told, as a value."""

from __future__ import annotations

import argparse
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar, final

from ..processor import Bounds
from .input_table import JSON_LINES, ColumnNames
from .providers import PROVIDERS, Provider, RequestSettings
from .row_processor import RunPace
from .run_errors import RunError
from .target import Target

V = TypeVar("V")


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """One run as it was asked for."""

    input: Path
    output: Path
    shape: ColumnNames
    provider: Provider
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

    @property
    def target(self) -> Target:
        """Where a row goes that does not say it."""
        return Target(self.provider.name, self.request.model)

    @property
    def settings(self) -> Mapping[str, str]:
        """What decides the answers besides the rows, for the journal to hold a resumed run to."""
        request = self.request
        prompt = (request.system or "").encode(errors="surrogatepass")
        system = hashlib.blake2b(prompt, digest_size=8).hexdigest() if prompt else None
        told = {
            "--provider": self.provider.name,
            "--model": request.model or None,
            "--system (its digest)": system,
            "--max-tokens": request.max_tokens,
            "--temperature": request.temperature,
        }
        return {name: str(value) for name, value in told.items() if value is not None}


def read_options(words: argparse.Namespace) -> Options:
    """The words as a value.

    Raises:
        RunError: two of them do not go together.
    """
    provider = PROVIDERS[words.provider]
    if words.input is None or words.output is None:
        raise RunError("name the INPUT with the rows, and the file for the answers with --output")
    if words.resume and words.journal is None:
        raise RunError("--resume needs the --journal that it goes on with")
    if words.retry_failed and not words.resume:
        raise RunError("--retry-failed goes with --resume")
    if words.output.suffix.lower() not in (".csv", *JSON_LINES):
        raise RunError(f"--output {words.output}: name a file that ends with .csv or .jsonl")
    if words.output.resolve() == words.input.resolve():
        raise RunError("--output is the input itself; name another file")
    if words.journal is not None and words.journal.resolve() == words.output.resolve():
        raise RunError("--journal and --output are the same file; give each its own")
    return Options(
        input=words.input,
        output=words.output,
        shape=ColumnNames(
            words.prompt_column,
            words.id_column,
            words.template,
            words.model_column,
            words.provider_column,
        ),
        provider=provider,
        request=RequestSettings(words.model, words.system, words.max_tokens, words.temperature),
        base_urls=base_urls(words),
        pace=_pace(words),
        per_model={
            "--rate": _each_once("--rate", words.rate),
            "--token-rate": _each_once("--token-rate", words.token_rate),
            "--price-input": _each_once("--price-input", words.price_input),
            "--price-output": _each_once("--price-output", words.price_output),
        },
        verbose=words.verbose,
        preflight=words.preflight,
        timeout_seconds=words.timeout,
        journal=words.journal,
        resume=words.resume,
        retry_failed=words.retry_failed,
        scenario=words.scenario,
        seed=words.seed,
    )


def _pace(words: argparse.Namespace) -> RunPace:
    bounds = Bounds(
        seconds=words.max_seconds,
        requests=words.max_requests,
        tokens=words.max_total_tokens,
        cost=words.max_cost,
    )
    return RunPace(
        parallel=words.parallel,
        bounds=None if bounds == Bounds() else bounds,
        on_quota=words.on_quota,
        fail_fast=words.fail_fast,
        order=words.order,
    )


def base_urls(words: argparse.Namespace) -> Mapping[str, str]:
    """The addresses that were given, by the names of their providers.

    Raises:
        RunError: a provider has two.
    """
    given = [(name or words.provider, url) for name, url in words.base_url]
    return _each_once("--base-url", given)


def _each_once(option: str, given: Sequence[tuple[str, V]]) -> Mapping[str, V]:
    names = [name for name, _ in given]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise RunError(f"{option} is given twice{f' for {twice}' if twice else ''}; give it once")
    return dict(given)
