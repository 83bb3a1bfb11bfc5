"""What the fuzzers share: numbered cases, each from a seed of its own, within a budget of time."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Iterator
from typing import Final

from ..depth import DEEP

CASES: Final = 40
"""So many cases of each fuzzer are tried in every run of the tests, always the same."""

SECONDS: Final = float(os.environ.get("WAVETANK_FUZZ_SECONDS", "60"))
"""So long each fuzzer goes on in `make deep`."""

FIRST: Final = int(os.environ.get("WAVETANK_FUZZ_SEED", "0"))
"""The number of the first case: give the one that failed to begin with it."""

SLOW: Final = 5.0
"""Seconds of processor time that no case may take; most take a few milliseconds."""


def cases(what: str) -> Iterator[random.Random]:
    """Generators of random numbers, one for each case.

    A case that raises is named with the variable that repeats it; one that takes too long fails.
    """
    until = time.monotonic() + SECONDS
    number = FIRST
    while time.monotonic() < until if DEEP else number < FIRST + CASES:
        began = time.process_time()
        try:
            yield random.Random(f"{what} {number}")
        finally:
            took = time.process_time() - began
            print(f"{what}: case {number} took {took:.3f} s; repeat it with WAVETANK_FUZZ_SEED={number}")
        assert took < SLOW
        number += 1


def mutated(data: bytes, dice: random.Random, pieces: tuple[bytes, ...]) -> bytes:
    """Bytes with some of them changed, removed, repeated, or replaced by hostile pieces."""
    out = bytearray(data)
    for _ in range(dice.randint(1, 6)):
        at = dice.randint(0, len(out))
        end = min(len(out), at + dice.choice((1, 1, 2, 8, 64)))
        match dice.randrange(5):
            case 0:
                out[at:end] = b""
            case 1:
                out[at:at] = out[at:end] * dice.choice((1, 2, 100))
            case 2:
                out[at:end] = bytes(dice.randrange(256) for _ in range(end - at))
            case _:
                out[at : dice.choice((at, end))] = dice.choice(pieces)
    return bytes(out)
