"""The parser of the command line, and the types of its arguments; an error names the fix."""

from __future__ import annotations

import argparse
from typing import Final, NoReturn, final

from .shown import Secrets, shortened
from .text import SEED_RANGE, parse_positive, parse_seed

_LONGEST_ERROR: Final = 500
"""Characters of an error message: an argument may be a whole prompt."""


@final
class Parser(argparse.ArgumentParser):
    """Its errors repeat an argument without the secrets in it, and cut where it is long."""

    def error(self, message: str) -> NoReturn:
        """Print the usage and the error, and end the process with status 2."""
        super().error(shortened(Secrets().hide(message), _LONGEST_ERROR))


def seed(text: str) -> int:
    """A seed of keyed picks.

    Raises:
        ArgumentTypeError: it is no whole number from 0 to 2**64 - 1.
    """
    try:
        return parse_seed(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no seed: give {SEED_RANGE}") from None


def count(text: str) -> int:
    """A count of things.

    Raises:
        ArgumentTypeError: it is no whole number of at least 1.
    """
    if not text.isdecimal() or not int(text):
        raise argparse.ArgumentTypeError(f"{text!r} is no count: give a whole number of at least 1")
    return int(text)


def seconds(text: str) -> float:
    """A length of time in seconds.

    Raises:
        ArgumentTypeError: it is no number above 0.
    """
    try:
        return parse_positive(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no time: give a number of seconds above 0") from None
