"""What a direct call raises for each way of saying no."""

from __future__ import annotations

import pytest

import wavetank
from wavetank.clock import SECOND, Duration
from wavetank.scenario import Limits, RefusalError, Scenario, Wave

REFUSED = {
    "rate-limit": wavetank.RateLimited,
    "throttle": wavetank.RateLimited,
    "ramp": wavetank.RateLimited,
    "quota": wavetank.QuotaExhausted,
    "billing": wavetank.QuotaExhausted,
    "too-large": wavetank.RequestTooLarge,
    "overloaded": wavetank.Overloaded,
    "server": wavetank.ServerError,
    "timeout": wavetank.ProviderError,
    "conflict": wavetank.ProviderError,
}
"""What is said to be wrong, and the error that fits."""


def raised(scenario: Scenario, backend: str, calls: int = 1) -> wavetank.ProviderError | None:
    """The error of the last of some direct calls."""

    async def main(tank: wavetank.Tank) -> wavetank.ProviderError | None:
        error = None
        for number in range(calls):
            error = None
            try:
                await tank.fake_llm.call("hello", item=f"item-{number}")
            except wavetank.ProviderError as refused:
                error = refused
        return error

    return wavetank.simulate(main, scenario=scenario, backend=backend, checks=()).value


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
@pytest.mark.parametrize(("error", "kind"), REFUSED.items())
def test_what_is_wrong_decides_the_error(
    error: RefusalError, kind: type[wavetank.ProviderError], backend: str
) -> None:
    """A 429 that says more than "too many" raises the error that fits, whatever its status."""
    told = raised(Scenario(wave=(Wave(lasts=Duration(SECOND), status=429, error=error),)), backend)
    assert (type(told), told and told.status) == (kind, 429)


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, wavetank.ProviderError),
        (402, wavetank.QuotaExhausted),
        (408, wavetank.ProviderError),
        (413, wavetank.RequestTooLarge),
        (429, wavetank.RateLimited),
        (500, wavetank.ServerError),
        (503, wavetank.Overloaded),
        (529, wavetank.Overloaded),
    ],
)
def test_where_nothing_is_said_the_status_decides(status: int, kind: type[wavetank.ProviderError]) -> None:
    """Each status raises the error it stands for."""
    assert type(raised(Scenario(wave=(Wave(lasts=Duration(SECOND), status=status),)), "asyncio")) is kind


@pytest.mark.parametrize(
    ("limits", "kind", "wait"),
    [
        (Limits(requests_per_minute=1), wavetank.RateLimited, 60),
        (Limits(requests_per_day=1, day_begins=Duration(60 * SECOND)), wavetank.QuotaExhausted, 60),
        (Limits(tokens_per_minute=3), wavetank.RequestTooLarge, None),
    ],
)
def test_a_limit_raises_what_it_says(
    limits: Limits, kind: type[wavetank.ProviderError], wait: float | None
) -> None:
    """A rate, a quota and a request that is too large are told apart."""
    told = raised(Scenario(limits=limits), "asyncio", calls=2)
    assert (type(told), told and told.retry_after) == (kind, wait)
