"""The plan of a run: the models of its rows, each with its address, prices and limits."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final, final

from ..processor import Account, Limits, LLMCallStrategy, LLMWorkItem, SharedLimits, Sink
from ..processor.journal import Journal
from ..shown import Secrets
from .command_options import CommandOptions, address_of
from .input_table import Record, Table
from .provider_strategy import ProviderStrategy
from .providers import PROVIDERS, Prices, ProviderApi
from .row_processor import RowProcessor
from .run_arguments import suggestion
from .run_errors import RunError
from .run_statistics import RunStatistics
from .target import Target, chosen

if TYPE_CHECKING:
    import httpx2

REHEARSAL_KEY: Final = "wavetank-rehearsal"
COMPATIBLE_URL: Final = "http://vllm/v1"
"""Where the fake answers for servers that have no address of their own."""


@final
@dataclass(frozen=True, slots=True)
class ModelRoute:
    """A target with all that a request to it needs; `row` is the number of the first row with this target."""

    target: Target
    provider: ProviderApi
    row: int
    base_url: str | None
    prices: Prices | None
    limits: Limits | None


@final
class RunPlan:
    """The routes of the rows of a table, found before the first request.

    Raises:
        RunError: a price or a rate is for a name that no row uses, or a price is missing.
    """

    def __init__(self, options: CommandOptions, table: Table) -> None:
        self.options: Final = options
        self.table: Final = table
        self.routes: Final = _routes(options, table)
        self.secrets: Final = Secrets()
        """The keys of the run, and what is shown instead of them."""

    def statistics(self, *, now: Callable[[], float], wall: Callable[[], float]) -> RunStatistics:
        """The statistics of all rows, and of each model if there are several."""
        rows = Counter(target.name for target in self.table.targets.values())
        models = {route.target.name: rows[route.target.name] for route in self.routes}
        return RunStatistics(
            len(self.table.items), models=models if len(models) > 1 else None, now=now, wall=wall
        )

    def strategy(
        self, route: ModelRoute, client: httpx2.AsyncClient, key: str, *, max_tokens: int | None = None
    ) -> ProviderStrategy:
        """The strategy of a route, over the client of the run."""
        settings = self.options.request
        return ProviderStrategy(
            client,
            route.provider,
            replace(settings, model=route.target.model, max_tokens=max_tokens or settings.max_tokens),
            key=key,
            base_url=route.base_url,
            prices=route.prices,
            secrets=self.secrets,
            scope=self._scope(route),
        )

    def rehearsed(self, route: ModelRoute, client: httpx2.AsyncClient) -> ProviderStrategy:
        """The strategy of a route in a rehearsal, at the address where the fake answers for the provider."""
        return ProviderStrategy(
            client,
            route.provider,
            replace(self.options.request, model=route.target.model),
            key=REHEARSAL_KEY,
            base_url=None if route.provider.base_url else COMPATIBLE_URL,
            sends_item_ids=True,
            prices=route.prices,
            scope=self._scope(route),
        )

    def _scope(self, route: ModelRoute) -> str | None:
        """With several models each has its own gate, so that a limit of one does not hold back another."""
        return route.target.name if len(self.routes) > 1 else None

    def rates(self, given: Mapping[Any, Mapping[str, float]]) -> dict[str | None, dict[str, float]]:
        """The limits that options such as `--rate` set, for each scope that the processor knows.

        Args:
            given: for each of the limits of `Limits` the values by the names that they are for.

        Raises:
            RunError: no row uses a name.
        """
        targets = {route.target: route.row for route in self.routes}
        found: dict[str | None, dict[str, float]] = {}
        for limit, values in given.items():
            option = "--rate" if limit == "requests_per_minute" else "--token-rate"
            _refuse_unused_names(option, values, targets)
            for target in targets:
                if (value := chosen(values, target)) is not None:
                    scope = target.name if len(targets) > 1 else None
                    found.setdefault(scope, {})[limit] = value
        return found

    def items(self, strategies: Mapping[Target, LLMCallStrategy[str]]) -> tuple[LLMWorkItem[Record], ...]:
        """The rows, each with the strategy of its own model."""
        targets = self.table.targets
        return tuple(replace(item, strategy=strategies[targets[item.id]]) for item in self.table.items)

    def shared_limits(self, keys: Mapping[Target, str]) -> SharedLimits | None:
        """Where the limits are shared: each model by its provider, its address and its key."""
        options = self.options
        if options.share is None:
            return None
        routes = {route.target.name: route for route in self.routes}

        def account(scope: str) -> Account:
            # With one model the processor knows one scope only.
            route = routes.get(scope, self.routes[0])
            secret = f"{route.base_url or route.provider.base_url} {keys[route.target]}"
            return Account(route.provider.name, secret, route.target.model)

        return SharedLimits(address=options.share, share_of=options.share_of, account=account)

    def row_processor(
        self,
        strategies: Mapping[Target, LLMCallStrategy[str]],
        statistics: RunStatistics,
        *,
        journal: Journal | None = None,
        output: Sink | None = None,
        shared: SharedLimits | None = None,
        say: Callable[[str], object],
    ) -> RowProcessor:
        """The processor of the rows; `shared` is where their limits are shared with other processes."""
        limits: dict[str, Limits] = {
            route.target.name: route.limits for route in self.routes if route.limits is not None
        }
        several = len(self.routes) > 1
        first = self.routes[0]
        return RowProcessor(
            strategies[first.target],
            pace=replace(self.options.pace, limits=limits if several else first.limits, shared=shared),
            statistics=statistics,
            journal=journal,
            output=output,
            models={id: target.name for id, target in self.table.targets.items()},
            say=say,
            verbose=self.options.verbose,
        )


def _routes(options: CommandOptions, table: Table) -> tuple[ModelRoute, ...]:
    """The routes of all rows, in the order of their first rows."""
    first: dict[Target, int] = {}
    for number, item in enumerate(table.items, start=1):
        first.setdefault(table.targets[item.id], number)
    for option, values in options.per_model.items():
        _refuse_unused_names(option, values, first)
    return tuple(_route(options, target, row) for target, row in first.items())


def _route(options: CommandOptions, target: Target, row: int) -> ModelRoute:
    provider = PROVIDERS[target.provider]
    given = {option: chosen(values, target) for option, values in options.per_model.items()}
    prices = _prices(options, provider, row, given["--price-input"], given["--price-output"])
    limits = Limits(requests_per_minute=given["--rate"], tokens_per_minute=given["--token-rate"])
    url = address_of(options.base_urls, provider)
    return ModelRoute(target, provider, row, url, prices, None if limits == Limits() else limits)


def _refuse_unused_names(option: str, values: Mapping[str, Any], targets: Mapping[Target, int]) -> None:
    known = {name for target in targets for name in (target.name, target.model, target.provider)}
    for name in values:
        if name and name not in known:
            raise RunError(f"{option} {name}=…: no row goes to {name!r}; {suggestion(name, sorted(known))}")


def _prices(
    options: CommandOptions, provider: ProviderApi, row: int, input: float | None, output: float | None
) -> Prices | None:
    if input is None and output is None:
        cost = options.pace.bounds.cost if options.pace.bounds is not None else None
        if cost is not None and not provider.reports_cost:
            raise RunError(
                f"--max-cost needs to know what answers cost, and {_named(options, provider, row)} does not "
                "state it: give --price-input and --price-output, or bound --max-total-tokens"
            )
        return None
    if input is None or output is None:
        raise RunError("--price-input and --price-output go together; give both, 0 for what is free")
    return Prices(input, output)


def connection(options: CommandOptions, route: ModelRoute, environment: Mapping[str, str]) -> str:
    """The API key for a route.

    Raises:
        RunError: the key or the address is missing; the text names the provider, and the row if it
            chose the provider.
    """
    provider = route.provider
    if not provider.base_url and route.base_url is None:
        raise RunError(
            f"{_named(options, provider, route.row)} needs the --base-url of the server, "
            "such as https://host/v1"
        )
    try:
        return provider.key(environment, route.base_url)
    except RunError as error:
        where = "" if provider == options.provider else f", to which row {route.row} goes"
        raise RunError(f"{error}{where}") from None


def _named(options: CommandOptions, provider: ProviderApi, row: int) -> str:
    chose = "--provider" if provider == options.provider else f"row {row} goes to"
    return f"{chose} {provider.name}" if provider == options.provider else f"{chose} {provider.name}, which"
