"""A fingerprint tells a program from a changed one, and from nothing else."""

from __future__ import annotations

import functools
import os
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest

from wavetank.sim.fingerprint import fingerprint

BASE = """
async def main(tank):
    for item in ("a", "b"):
        await tank.ask(item, {"x", "y", "z"} & {item, "x"})
    return item in {"one", "two", "three", "four"}
"""


def made(source: str) -> Callable[..., Any]:
    scope: dict[str, Any] = {}
    exec(source, scope)
    found: Callable[..., Any] = scope["main"]
    return found


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"b"', '"c"'),
        ("tank.ask", "tank.tell"),
        ("return item", "return not item"),
        ('"four"', '"five"'),
        ("    for item", "    async def inner(): return 1\n    for item"),
    ],
)
def test_a_changed_program_has_another(old: str, new: str) -> None:
    """A constant, also in a set, a name, an operation or a function inside it makes it another program."""
    assert fingerprint(made(BASE.replace(old, new, 1))) != fingerprint(made(BASE))


def test_an_inner_change_counts() -> None:
    """What is defined inside the program is part of it."""
    outer = "async def main(tank):\n    async def worker():\n        return {}\n    await worker()\n"
    assert fingerprint(made(outer.format(1))) != fingerprint(made(outer.format(2)))


def test_place_and_comments_do_not_count() -> None:
    """A program that moved in its file, or that got a comment, is the same."""
    moved = "\n\n# a comment\n" + BASE.replace("    return", "    # another\n    return")
    assert fingerprint(made(moved)) == fingerprint(made(BASE))


def test_wrappers_are_looked_through() -> None:
    """A partial, a wrapped and a callable program have the fingerprint of what runs."""
    main = made(BASE)

    @functools.wraps(main)
    def wrapped() -> None: ...

    class Callable_:
        __call__ = main

    expected = fingerprint(main)
    assert expected
    assert fingerprint(functools.partial(functools.partial(main, 1), 2)) == expected
    assert fingerprint(wrapped) == expected
    assert fingerprint(Callable_()) == expected
    assert fingerprint(len) == 0


def test_other_processes_agree() -> None:
    """It is the same whatever the hash seed, though the program has sets of text in it."""
    script = f"exec({BASE!r})\nfrom wavetank.sim.fingerprint import fingerprint\nprint(fingerprint(main))"
    for seed in ("0", "1", "12345"):
        done = subprocess.run(
            [sys.executable, "-c", script],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        )
        assert int(done.stdout) == fingerprint(made(BASE))
