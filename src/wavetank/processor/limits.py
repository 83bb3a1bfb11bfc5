"""What is known of a provider's limits: told by the caller, or by the provider's answers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, final

MARGIN: Final = 0.995
"""A configured rate is kept half a percent below, since the two clocks and the network are not exact."""
BURST_SECONDS: Final = 0.1


@final
@dataclass(frozen=True, slots=True)
class Limits:
    """The limits of an account, key or model, where they are known; what is not given is learnt.

    >>> Limits(requests_per_minute=600).requests_per_second
    10.0

    Args:
        requests_per_minute: how many requests may start in a minute.
        tokens_per_minute: how many tokens requests may take in a minute.
        burst: how many requests may start at one instant; by default those of a tenth of a second.
        token_burst: how many tokens one instant may take. An item that needs more is refused
            before it is sent. By default an item may need a minute's tokens.

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
    """One budget as the provider tells it: requests or tokens.

    `per_second` is the rate at which it refills, where the provider says so; `resets_in`
    are the seconds until it is whole again.
    """

    limit: float | None = None
    remaining: float | None = None
    resets_in: float | None = None
    per_second: float | None = None

    @property
    def spent_for(self) -> float | None:
        """How long nothing is left, in seconds, where only the reset is known."""
        spent = self.remaining is not None and self.remaining < 1 and self.per_second is None
        return self.resets_in if spent else None


@final
@dataclass(frozen=True, slots=True)
class RateInfo:
    """What an answer tells of the limits; a strategy may return it in a `CallResult` or raise it.

    `wait` is how long the provider asks to send nothing, in seconds.
    """

    requests: Quota | None = None
    tokens: Quota | None = None
    wait: float | None = None
