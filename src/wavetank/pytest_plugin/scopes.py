"""A run of trio that outlives a test cannot be given its fresh clock: it is refused in plain words."""

from __future__ import annotations

import inspect

import pytest

_FIX = (
    "the async fixture {!r} has {} scope, and a run of trio cannot go on from one test in virtual time to "
    'the next. Let its scope be "function", or give the test real time with @pytest.mark.llm_clock("real"), '
    "or leave it out with @pytest.mark.llm_off"
)


def refuse_wider_trio(item: pytest.Function) -> None:
    """Raise if an async fixture of a test runs on trio and has a wider scope than the test itself.

    Raises:
        pytest.UsageError: names the fixture, its scope, and the fix.
    """
    backend = item.callspec.params.get("anyio_backend") if hasattr(item, "callspec") else None
    if (backend[0] if isinstance(backend, tuple) else backend) != "trio":
        return
    for name in item.fixturenames:
        for fixture in item._fixtureinfo.name2fixturedefs.get(name, ())[-1:]:
            made = inspect.iscoroutinefunction(fixture.func) or inspect.isasyncgenfunction(fixture.func)
            if made and fixture.scope != "function":
                raise pytest.UsageError(_FIX.format(name, fixture.scope))
