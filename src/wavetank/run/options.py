"""What `wavetank run` is told, as a value."""

from __future__ import annotations

import argparse
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import final

from ..processor import Bounds, Limits
from .errors import RunError
from .providers import PROVIDERS, Ask, Prices, Provider
from .reading import JSON_LINES, Shape
from .session import Pace


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """One run as it was asked for."""

    input: Path
    output: Path
    shape: Shape
    provider: Provider
    ask: Ask
    base_url: str | None
    pace: Pace
    prices: Prices | None
    preflight: bool
    timeout_seconds: float
    journal: Path | None
    resume: bool
    retry_failed: bool
    scenario: str | None
    seed: int

    @property
    def settings(self) -> Mapping[str, str]:
        """What decides the answers besides the rows, for the journal to hold a resumed run to."""
        ask = self.ask
        prompt = (ask.system or "").encode(errors="surrogatepass")
        system = hashlib.blake2b(prompt, digest_size=8).hexdigest() if prompt else None
        told = {
            "--provider": self.provider.name,
            "--model": ask.model,
            "--system (its digest)": system,
            "--max-tokens": ask.max_tokens,
            "--temperature": ask.temperature,
        }
        return {name: str(value) for name, value in told.items() if value is not None}


def read_options(words: argparse.Namespace) -> Options:
    """The words as a value.

    Raises:
        RunError: two of them do not go together.
    """
    provider = PROVIDERS[words.provider]
    if words.resume and words.journal is None:
        raise RunError("--resume needs the --journal that it goes on with")
    if words.retry_failed and not words.resume:
        raise RunError("--retry-failed goes with --resume")
    if not provider.base_url and words.base_url is None and words.scenario is None:
        raise RunError(
            f"--provider {provider.name} needs the --base-url of the server, such as https://host/v1"
        )
    if words.output.suffix.lower() not in (".csv", *JSON_LINES):
        raise RunError(f"--output {words.output}: name a file that ends with .csv or .jsonl")
    if words.output.resolve() == words.input.resolve():
        raise RunError("--output is the input itself; name another file")
    if words.journal is not None and words.journal.resolve() == words.output.resolve():
        raise RunError("--journal and --output are the same file; give each its own")
    return Options(
        input=words.input,
        output=words.output,
        shape=Shape(words.prompt_column, words.id_column, words.template),
        provider=provider,
        ask=Ask(words.model, words.system, words.max_tokens, words.temperature),
        base_url=words.base_url,
        pace=_pace(words),
        prices=_prices(words, provider),
        preflight=words.preflight,
        timeout_seconds=words.timeout,
        journal=words.journal,
        resume=words.resume,
        retry_failed=words.retry_failed,
        scenario=words.scenario,
        seed=words.seed,
    )


def _pace(words: argparse.Namespace) -> Pace:
    limits = Limits(requests_per_minute=words.rate, tokens_per_minute=words.token_rate)
    bounds = Bounds(
        seconds=words.max_seconds,
        requests=words.max_requests,
        tokens=words.max_total_tokens,
        cost=words.max_cost,
    )
    return Pace(
        parallel=words.parallel,
        limits=None if limits == Limits() else limits,
        bounds=None if bounds == Bounds() else bounds,
        on_quota=words.on_quota,
        fail_fast=words.fail_fast,
        order=words.order,
    )


def _prices(words: argparse.Namespace, provider: Provider) -> Prices | None:
    told = words.price_input, words.price_output
    if told == (None, None):
        if words.max_cost is not None and not provider.tells_cost:
            raise RunError(
                f"--max-cost needs to know what answers cost, and --provider {provider.name} does not tell "
                "it: give --price-input and --price-output, or bound --max-total-tokens"
            )
        return None
    if None in told:
        raise RunError("--price-input and --price-output go together; give both, 0 for what is free")
    return Prices(*told)
