"""How long a pause after a refusal is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, Protocol, final, runtime_checkable

from ..errors.reset_times import UntilInstant

BUFFER: Final = 0.1
"""The share of a stated wait that is added to it: waits are rounded, and an answer takes time to arrive."""
LONG_SECONDS: Final = 3600.0
LONG_BUFFER_SECONDS: Final = 60.0
"""What is added from an hour on: neither rounding nor the time of an answer grows with the hours."""
INSTANT_BUFFER_SECONDS: Final = 1.0
"""What is added to a wait that ends at an instant: dates have whole seconds, and clocks differ."""
_MAX_DOUBLINGS: Final = 32
"""Keeps the power finite; 2 to the 32nd seconds are more than a century, so the cap is reached before."""


@runtime_checkable
class RateLimitStrategy(Protocol):
    """Decides the length of a pause: any object with this method."""

    def seconds(self, in_a_row: int, stated: float | None) -> float:
        """The length of a pause in seconds.

        Args:
            in_a_row: how many pauses came directly before this one without a success between them.
            stated: the wait that the server asked for in seconds, or `None`; an `UntilInstant`
                if it was written as a clock time or a date.
        """
        ...


def with_buffer(stated: float | None) -> float:
    """The wait that the server stated, with a margin; 0 if it stated none.

    The margin is a tenth of the wait, and a minute for a wait of an hour or more. For a wait
    that was written as an instant it is one second, because only the clocks can differ.

    >>> with_buffer(10), with_buffer(98 * 3600), with_buffer(UntilInstant(98 * 3600))
    (11.0, 352860.0, 352801.0)
    """
    if not stated:
        return 0.0
    if isinstance(stated, UntilInstant):
        return stated + INSTANT_BUFFER_SECONDS
    return min(stated * (1 + BUFFER), max(stated, LONG_SECONDS) + LONG_BUFFER_SECONDS)


@final
@dataclass(frozen=True, slots=True)
class ExponentialDelay:
    """Doubles the pause until a request succeeds; a wait that the server states is used first, without a cap.

    The defaults are those of the gate: 1 s, 2 s, 4 s, … up to 60 s. `patient()` suits a client
    that pays for each try.

    >>> [ExponentialDelay().seconds(n, None) for n in range(3)]
    [1.0, 2.0, 4.0]
    >>> [ExponentialDelay.patient().seconds(n, None) for n in range(4)]
    [60.0, 120.0, 240.0, 300.0]

    Args:
        base_seconds: the first pause if no wait is stated.
        cap_seconds: the longest pause if no wait is stated.
        jitter: the share of a pause that may be added to it at random, 0 to 1.
        random: returns a number from 0 to 1, such as `random.Random(seed).random`; needed for
            jitter.

    Raises:
        ValueError: jitter without `random`, or a number out of its range.
    """

    base_seconds: float = 1.0
    cap_seconds: float = 60.0
    jitter: float = 0.0
    random: Callable[[], float] | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        _at_least_0("base_seconds", self.base_seconds)
        _at_least_0("cap_seconds", self.cap_seconds)
        _checked_jitter(self.jitter, self.random)

    @classmethod
    def patient(cls) -> ExponentialDelay:
        """A pause of one minute, doubled up to five minutes."""
        return cls(base_seconds=60.0, cap_seconds=300.0)

    def seconds(self, in_a_row: int, stated: float | None) -> float:
        """The length of a pause in seconds."""
        own = min(self.base_seconds * 2.0 ** min(in_a_row, _MAX_DOUBLINGS), self.cap_seconds)
        return _spread(with_buffer(stated) or own, self.jitter, self.random)


@final
@dataclass(frozen=True, slots=True)
class FixedDelay:
    """Waits the same time after each refusal, or longer if the server asks for longer.

    >>> FixedDelay(30).seconds(5, None), FixedDelay(30).seconds(0, 60)
    (30.0, 66.0)

    Args:
        wait_seconds: the pause.
        jitter: the share of a pause that may be added to it at random, 0 to 1.
        random: returns a number from 0 to 1; needed for jitter.

    Raises:
        ValueError: jitter without `random`, or a number out of its range.
    """

    wait_seconds: float
    jitter: float = 0.0
    random: Callable[[], float] | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        _at_least_0("wait_seconds", self.wait_seconds)
        _checked_jitter(self.jitter, self.random)

    def seconds(self, in_a_row: int, stated: float | None) -> float:  # noqa: ARG002
        """The length of a pause in seconds."""
        return _spread(max(with_buffer(stated), float(self.wait_seconds)), self.jitter, self.random)


def _spread(seconds: float, jitter: float, random: Callable[[], float] | None) -> float:
    return seconds if random is None else seconds * (1 + jitter * random())


def _at_least_0(name: str, value: float) -> None:
    if not value >= 0:
        raise ValueError(f"{name} must be at least 0, not {value!r}")


def _checked_jitter(jitter: float, random: Callable[[], float] | None) -> None:
    if not 0 <= jitter <= 1:
        raise ValueError(f"jitter must be from 0 to 1, not {jitter!r}")
    if jitter and random is None:
        raise ValueError("jitter needs random=, such as random.Random(0).random: a run has to be repeatable")
