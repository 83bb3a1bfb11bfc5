"""The cases of a forecast: each combination of limits, scenario and requests at once that was asked for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Final, final

from msgspec import structs

from ..clock import MILLISECOND, Duration
from ..limits import Allowance, LimitsError, Source, load_limits
from ..provider.vendor_registry import card_named
from ..scenario import (
    Answers,
    DurationRange,
    Latency,
    Limits,
    Scenario,
    ScenarioError,
    lets_through,
    load_scenario,
    scenario_from_dict,
)
from .clients import PROCESSOR, client_named
from .errors import ForecastError
from .virtual_run import OnQuota, Setup
from .workload import Workload

NO_MODEL: Final = "model"
"""The model of requests where no limits name one."""
OPENAI: Final = "openai"
ASSUMED_LATENCY: Final = Latency(
    first_token=DurationRange(Duration(300 * MILLISECOND), Duration(900 * MILLISECOND)),
    tokens_per_second=60.0,
)
"""Where nothing says how fast answers are: about what small models of 2025 and 2026 need."""


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One combination: its names for a table, and what its runs are made with.

    `limits` and `scenario` are empty where none was named. `numbers` has the limits by their names, and
    `not_modelled` those that a run does not have.
    """

    setup: Setup
    limits: str
    scenario: str
    numbers: Mapping[str, int]
    not_modelled: Mapping[str, int]
    sources: tuple[Source, ...] = ()

    @property
    def name(self) -> str:
        """Its name in the progress."""
        parts = (self.limits, self.scenario, self.setup.client, f"-j {self.setup.parallel}")
        return ", ".join(part for part in parts if part not in ("", PROCESSOR))


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What is asked: every value of a list is tried with every value of the others.

    Args:
        limits: names as of `load_limits`; empty: no limits but those of the scenario.
        models: put in the place of the model in `limits`.
        scenarios: names or paths; empty: a calm provider.
        parallel: how many requests are under way at once.
        clients: names as of `client_named`.
        overrides: limits to take instead of those that are named.
        latency: instead of the scenario's; `None`: that of the scenario, or `ASSUMED_LATENCY`.
        price_input, price_output: for a million tokens, instead of those that are named.
        on_quota: what a spent quota means, as in `wavetank run`.
    """

    limits: Sequence[str] = ()
    models: Sequence[str] = ()
    scenarios: Sequence[str] = ()
    parallel: Sequence[int] = (10,)
    clients: Sequence[str] = (PROCESSOR,)
    overrides: Mapping[str, int]
    latency: Latency | None = None
    price_input: float | None = None
    price_output: float | None = None
    on_quota: OnQuota = "fail"


def cases_of(question: Question, workload: Workload) -> list[Case]:
    """The cases of a question, in the order of its lists.

    Raises:
        ForecastError: limits or a scenario cannot be found or read, or let no row through.
    """
    for client in question.clients:
        client_named(client)
    allowances: list[Allowance | None] = [*_allowances(question)] or [None]
    scenarios: list[str | None] = list(question.scenarios) or [None]
    return [
        _case(question, allowance, scenario, client, parallel, workload)
        for allowance, scenario, client, parallel in product(
            allowances, scenarios, question.clients, question.parallel
        )
    ]


def _allowances(question: Question) -> Iterator[Allowance]:
    if (question.models or question.overrides) and not question.limits:
        option = "--model" if question.models else "--set"
        raise ForecastError(f"{option} changes limits that are named: add --limits openai/gpt-4o-mini/tier-1")
    for name, model in product(question.limits, question.models or (None,)):
        found = _loaded("--limits", name)
        if model is not None:
            begin = name[: name.rindex(".toml") + 5] if ".toml" in name else found.file.provider
            name = f"{begin}/{model}/{found.tier.name}"
            found = _loaded("--model", name)
        yield _loaded("--set", name, question.overrides) if question.overrides else found


def _loaded(option: str, name: str, overrides: Mapping[str, int] | None = None) -> Allowance:
    """The limits of this name; an error says which option it comes from."""
    try:
        return load_limits(name, overrides=overrides)
    except LimitsError as error:
        raise ForecastError(f"{option}: {error}") from None


def _case(
    question: Question,
    allowance: Allowance | None,
    named: str | None,
    client: str,
    parallel: int,
    workload: Workload,
) -> Case:
    scenario = _scenario(named, allowance, question.latency)
    price = None if allowance is None else allowance.price
    prices = question.price_input, question.price_output
    setup = Setup(
        parallel=parallel,
        scenario=scenario,
        model=NO_MODEL if allowance is None else allowance.model.name,
        on_quota=question.on_quota,
        price_input=prices[0] if prices[0] is not None else price and price.input,
        price_output=prices[1] if prices[1] is not None else price and price.output,
        vendor=_vendor(allowance),
        client=client,
    )
    case = Case(
        setup=setup,
        limits="" if allowance is None else allowance.name,
        scenario=named or "",
        numbers=_numbers(scenario),
        not_modelled={}
        if allowance is None
        else {name: allowance.numbers[name] for name in _NOT_MODELLED if name in allowance.numbers},
        sources=() if allowance is None else allowance.sources,
    )
    _refuse_if_nothing_passes(case, workload)
    return case


def _scenario(named: str | None, allowance: Allowance | None, latency: Latency | None) -> Scenario:
    """The provider: its waves and faults from the scenario, its limits from the allowance if there is one."""
    try:
        scenario = load_scenario(named) if named is not None else Scenario(name="calm")
        if allowance is not None:
            tables: dict[str, object] = {"limit": allowance.scenario_limits()}
            limit = scenario_from_dict(tables, name="limits", source=allowance.name).limit
            scenario = structs.replace(scenario, limits=Limits(), limit=limit)
    except ScenarioError as error:
        raise ForecastError(f"--scenario: {error}") from None
    if latency is None:
        latency = scenario.latency if scenario.latency != Latency() else ASSUMED_LATENCY
    return structs.replace(scenario, latency=latency, answers=Answers(mark="none"))


_NOT_MODELLED: Final = ("tokens_per_month", "batch_queue_tokens", "batch_queue_requests")
"""A month is longer than a batch, and rows are not sent by a batch API."""

_LIMIT_NAMES: Final = (
    "requests_per_minute",
    "input_tokens_per_minute",
    "output_tokens_per_minute",
    "tokens_per_minute",
    "requests_per_day",
    "tokens_per_day",
    "concurrent",
)


def _numbers(scenario: Scenario) -> dict[str, int]:
    """The tightest limit of each kind, by its name in a scenario."""
    found: dict[str, int] = {}
    for table in (scenario.limits, *scenario.limit):
        for name in _LIMIT_NAMES:
            value: int | None = getattr(table, name)
            if value is not None:
                found[name] = min(value, found.get(name, value))
        if table.requests is not None and table.per:
            by_minute = table.requests * 60_000_000_000 // table.per
            found["requests_per_minute"] = min(by_minute, found.get("requests_per_minute", by_minute))
    return found


def _vendor(allowance: Allowance | None) -> str:
    """Whose headers state the limits: a gateway of the user's own is taken to write those of OpenAI."""
    try:
        return card_named(allowance.file.provider).name if allowance is not None else OPENAI
    except ValueError:
        return OPENAI


def _refuse_if_nothing_passes(case: Case, workload: Workload) -> None:
    scenario = case.setup.scenario
    if not lets_through(scenario):
        raise ForecastError(f"scenario {case.scenario!r} refuses every request for ever; choose another one")
    for name in ("tokens_per_minute", "tokens_per_day"):
        most = case.numbers.get(name)
        if most is not None and workload.smallest > most:
            raise ForecastError(
                f"{case.limits or case.scenario} admits nothing: the smallest row needs "
                f"{workload.smallest:,} tokens, and {name} is {most:,}; choose a higher tier, "
                f"--set {name}=…, or shorten the prompts"
            )
