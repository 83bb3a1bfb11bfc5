"""A provider's limits, as the caller configures them or as answers state them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, final

MARGIN: Final = 0.995
"""Rates stay half a percent below the limit, since the two clocks and the network are not exact."""
LONG_BUDGET_SECONDS: Final = 3600.0
"""From an hour on a budget is a quota and not a rate: a batch may be over long before it is whole again."""
BURST_SECONDS: Final = 0.1
"""The default burst is what the rate allows in this time: it makes no visible spike."""


@final
@dataclass(frozen=True, slots=True)
class Limits:
    """The known limits of an account, key or model; those that are not given are learnt.

    >>> Limits(requests_per_minute=600).requests_per_second
    10.0

    Args:
        requests_per_minute: how many requests may start in a minute.
        tokens_per_minute: how many tokens requests may take in a minute.
        burst: how many requests may start at one instant; by default those of a tenth of a second.
        token_burst: how many tokens requests may take at one instant. An item that needs more
            fails before it is sent. By default an item may need the tokens of a minute.

    Raises:
        ValueError: a number is not above 0.
    """

    requests_per_minute: float | None = None
    tokens_per_minute: float | None = None
    burst: float | None = None
    token_burst: float | None = None

    def __post_init__(self) -> None:
        for name in ("requests_per_minute", "tokens_per_minute", "burst", "token_burst"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise ValueError(f"{name} must be above 0, not {value!r}")

    @property
    def requests_per_second(self) -> float | None:
        """How many requests may start in a second."""
        return None if self.requests_per_minute is None else self.requests_per_minute / 60

    @property
    def tokens_per_second(self) -> float | None:
        """How many tokens requests may take in a second."""
        return None if self.tokens_per_minute is None else self.tokens_per_minute / 60

    @property
    def max_tokens_per_item(self) -> float | None:
        """How many tokens an item may need at most."""
        return self.token_burst if self.token_burst is not None else self.tokens_per_minute


@final
@dataclass(frozen=True, slots=True)
class Quota:
    """One budget as the provider states it: requests or tokens.

    `per_second` is the rate at which it refills, if the provider states it. `resets_in` is the
    number of seconds until it is full again.
    """

    limit: float | None = None
    remaining: float | None = None
    resets_in: float | None = None
    per_second: float | None = None

    @property
    def paces(self) -> bool:
        """Whether it is a rate to send at: the budget of an hour or a day may be spent at once."""
        if self.per_second is None or not self.per_second > 0:
            return False
        return self.limit is None or self.limit / self.per_second < LONG_BUDGET_SECONDS

    @property
    def spent_for(self) -> float | None:
        """How many seconds the budget stays empty, if it is spent and only its reset is known."""
        spent = self.remaining is not None and self.remaining < 1 and self.per_second is None
        return self.resets_in if spent else None


@final
@dataclass(frozen=True, slots=True)
class RateInfo:
    """The limits that an answer states; a strategy may return them in a `CallResult`.

    `wait` is how long the provider asks to send nothing, in seconds.
    """

    requests: Quota | None = None
    tokens: Quota | None = None
    wait: float | None = None
