"""Makes the batches of a run from its plan."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from ...processor import Sink
from ...processor.journal import Journal
from ..run_plan import REHEARSAL_KEY, ModelRoute, RunPlan
from ..run_statistics import RunStatistics
from ..target import Target
from .batch_http import BatchHttp
from .batch_run import BatchRun
from .lane import Lane
from .vendors import batch_api

if TYPE_CHECKING:
    import httpx2

_REHEARSED_URL: Final = "https://api.openai.com/v1"
"""Where the fake answers for servers with OpenAI's batch API that have no address of their own."""


def check_providers(plan: RunPlan) -> None:
    """Check that all rows go to providers with a batch API.

    Raises:
        RunError: one has none.
    """
    for route in plan.routes:
        batch_api(route.provider, route.row)


def new_batch_run(
    plan: RunPlan,
    client: httpx2.AsyncClient,
    statistics: RunStatistics,
    *,
    keys: Mapping[Target, str] | None,
    output: Sink,
    journal: Journal | None = None,
    say: Callable[[str], object],
    salt: str,
) -> BatchRun:
    """The batches of a run; without `keys` it is a rehearsal, at the address where the fake answers."""
    options = plan.options
    assert options.batch is not None

    def lane(route: ModelRoute) -> Lane:
        own = route.base_url if keys is not None else None if route.provider.base_url else _REHEARSED_URL
        http = BatchHttp(
            client,
            route.provider,
            key=REHEARSAL_KEY if keys is None else keys[route.target],
            base_url=own,
            secrets=plan.secrets,
            max_outage_seconds=options.pace.max_outage_seconds,
            on_refused=lambda seconds: _count_refusal(statistics, route, seconds),
        )
        return Lane(
            route,
            batch_api(route.provider, route.row),
            http,
            replace(options.request, model=route.target.model),
            plan.secrets,
            options.batch.most_rows if options.batch is not None else None,
            options.batch.enqueued_tokens if options.batch is not None else None,
        )

    return BatchRun(
        {route.target.name: lane(route) for route in plan.routes},
        {id: target.name for id, target in plan.table.targets.items()},
        options=options.batch,
        statistics=statistics,
        output=output,
        journal=journal,
        say=say,
        salt=salt,
    )


def _count_refusal(statistics: RunStatistics, route: ModelRoute, seconds: float) -> None:
    statistics.add_refusal(route.target.name)
    statistics.add_pause(seconds, route.target.name)
