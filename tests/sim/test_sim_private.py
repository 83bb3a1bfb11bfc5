"""A private name of another library that has gone is told at import, with the version."""

from __future__ import annotations

import asyncio

import pytest

from wavetank.sim.private_names import require


def test_what_is_there_is_fine() -> None:
    """Nothing happens when all names are there."""
    require(asyncio.BaseEventLoop, "_run_once", "call_soon", of="asyncio", supported="another")


def test_what_has_gone_is_reported() -> None:
    """The error names the library with its version, the name, and what to install instead."""
    with pytest.raises(ImportError) as missing:
        require(asyncio.BaseEventLoop, "_run_twice", of="Python 9", supported="use Python 3")
    assert str(missing.value) == (
        "Python 9 has no BaseEventLoop._run_twice; wavetank needs it for virtual time: use Python 3"
    )
