"""What numbers on the command line are read with; a wrong one is told with the mend."""

from __future__ import annotations

import argparse


def seed(text: str) -> int:
    """A seed of keyed picks.

    Raises:
        ArgumentTypeError: it is no whole number from 0 to 2**64 - 1.
    """
    if not text.isdecimal() or int(text) >= 1 << 64:
        raise argparse.ArgumentTypeError(f"{text!r} is no seed: give a whole number from 0 to 2**64 - 1")
    return int(text)


def count(text: str) -> int:
    """A count of things.

    Raises:
        ArgumentTypeError: it is no whole number of at least 1.
    """
    if not text.isdecimal() or not int(text):
        raise argparse.ArgumentTypeError(f"{text!r} is no count: give a whole number of at least 1")
    return int(text)
