"""What the command line is read with; a wrong word gets an error with the fix."""

from __future__ import annotations

import argparse
from typing import NoReturn, final

from .shown import Secrets, shortened


@final
class Parser(argparse.ArgumentParser):
    """Repeats a word that it does not understand without the secrets in it, and not at any length."""

    def error(self, message: str) -> NoReturn:
        """Print the usage and the error, and end the process with status 2."""
        super().error(shortened(Secrets().hide(message), 500))


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
