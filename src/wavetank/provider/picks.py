"""Random picks that are keyed, not drawn: the same key always gives the same pick."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from hashlib import blake2b
from typing import Final, Protocol, final

_BITS: Final = 128
_UNIT_BITS: Final = 53
_KEPT: Final = 1 << 14
"""A search asks for the same picks in every run."""

KeyPart = str | int | None


def unit(seed: int, *key: KeyPart) -> float:
    """A number from 0 up to, but not including, 1 that depends only on the seed and the key.

    >>> unit(0, "share", 1, "item-1", 0) == unit(0, "share", 1, "item-1", 0)
    True
    """
    scale: int = 1 << _UNIT_BITS
    return (_digest(seed, key) >> (_BITS - _UNIT_BITS)) / scale


def between(seed: int, low: int, high: int, *key: KeyPart) -> int:
    """An integer from `low` to `high`, both included, that depends only on the seed and the key.

    >>> between(0, 7, 7, "first-token")
    7
    """
    if low == high:
        return low
    return low + (_digest(seed, key) * (high - low + 1) >> _BITS)


class Choose(Protocol):
    """Decides in place of the seed: the index of one of the `options`, of which the first is the seed's.

    `purpose` says what is picked: `first-token` and `refusal` are latencies in nanoseconds, `share`
    and `fault` whether the wave or fault of this `number` hits, `reply` the request that is answered next.
    """

    def __call__(
        self, purpose: str, item: str | None, options: Sequence[int], number: int | None = None, /
    ) -> int: ...


@final
class Picks:
    """The picks a scenario leaves open: what the seed says, or what a search chooses instead."""

    __slots__ = ("_seed", "choose")

    def __init__(self, seed: int, choose: Choose | None = None) -> None:
        self._seed = seed
        self.choose = choose

    def steady(self) -> Picks:
        """The same picks, decided by the seed only: for what is asked again and must stay the same."""
        return Picks(self._seed)

    def between(self, low: int, high: int, purpose: str, wave: int | None, item: str, nth: int) -> int:
        """An integer from `low` to `high`, both included."""
        if low == high:
            return low
        seeded = between(self._seed, low, high, purpose, wave, item, nth)
        if self.choose is None:
            return seeded
        options = tuple(dict.fromkeys((seeded, low, (low + high) // 2, high)))
        return options[self.choose(purpose, item, options)]

    def hits(self, share: float, purpose: str, number: int, item: str, nth: int) -> bool:
        """Whether something with this share hits the n-th request of an item."""
        if share >= 1:
            return True
        seeded = unit(self._seed, purpose, number, item, nth) < share
        if self.choose is None or share <= 0:
            return seeded
        options = (seeded, not seeded)
        return options[self.choose(purpose, item, options, number)]


@lru_cache(maxsize=_KEPT)
def _digest(seed: int, key: tuple[KeyPart, ...]) -> int:
    text = b"".join(_encoded(part) for part in (seed, *key))
    return int.from_bytes(blake2b(text, digest_size=_BITS // 8).digest(), "big")


def _encoded(part: KeyPart) -> bytes:
    """A part with its kind and length, so that no two keys run together."""
    kind = "n" if part is None else "i" if isinstance(part, int) else "s"
    data = ("" if part is None else str(part)).encode("utf-8", "surrogatepass")
    return f"{kind}{len(data)}:".encode() + data
