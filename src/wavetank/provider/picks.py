"""Random picks that are keyed, not drawn: the same key gives the same pick, whoever asked before."""

from __future__ import annotations

from hashlib import blake2b
from typing import Final

_BITS: Final = 128
_UNIT_BITS: Final = 53

KeyPart = str | int | None


def unit(seed: int, *key: KeyPart) -> float:
    """A number from 0 up to, but not including, 1 that depends on the seed and the key alone.

    >>> unit(0, "share", 1, "item-1", 0) == unit(0, "share", 1, "item-1", 0)
    True
    """
    scale: int = 1 << _UNIT_BITS
    return (_digest(seed, key) >> (_BITS - _UNIT_BITS)) / scale


def between(seed: int, low: int, high: int, *key: KeyPart) -> int:
    """An integer from `low` to `high`, both included, that depends on the seed and the key alone.

    >>> between(0, 7, 7, "first-token")
    7
    """
    if low == high:
        return low
    return low + (_digest(seed, key) * (high - low + 1) >> _BITS)


def _digest(seed: int, key: tuple[KeyPart, ...]) -> int:
    text = b"".join(_encoded(part) for part in (seed, *key))
    return int.from_bytes(blake2b(text, digest_size=_BITS // 8).digest(), "big")


def _encoded(part: KeyPart) -> bytes:
    """A part with its kind and length, so that no two keys run together."""
    kind = "n" if part is None else "i" if isinstance(part, int) else "s"
    data = ("" if part is None else str(part)).encode("utf-8", "surrogatepass")
    return f"{kind}{len(data)}:".encode() + data
