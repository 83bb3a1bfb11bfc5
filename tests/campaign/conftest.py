"""The Python processes that these tests start are forked: most are `wavetank` at work."""

from __future__ import annotations

import pytest


@pytest.fixture(autouse=True)
def fork_them(forked_python: None) -> None:
    """For each test of this folder."""
