"""Event loops that outlive a test cannot be given its fresh clock: they are refused with words."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from typing import Any

import pytest

_MEND = (
    "virtual time starts anew in every test, and an event loop that outlives the test cannot follow. "
    'Let {} be "function", or give the test real time with @pytest.mark.llm_clock("real")'
)


def refuse_wider_loops(item: pytest.Function) -> None:
    """Raise if the event loop of a test has a wider scope than the test itself.

    Raises:
        pytest.UsageError: names the scope, who has it, and the mend.
    """
    for what, setting, scope in _loop_scopes(item):
        if scope != "function":
            raise pytest.UsageError(f"{what} has an event loop of {scope} scope: {_MEND.format(setting)}")


def _loop_scopes(item: pytest.Function) -> Iterator[tuple[str, str, str]]:
    if item.get_closest_marker("asyncio") is not None and hasattr(type(item), "_loop_scope"):
        scope: str = item._loop_scope  # type: ignore[attr-defined]
        yield "this test", "its loop_scope", scope
    for name in item.fixturenames:
        for fixture in item._fixtureinfo.name2fixturedefs.get(name, ())[-1:]:
            if inspect.iscoroutinefunction(fixture.func) or inspect.isasyncgenfunction(fixture.func):
                yield f"the async fixture {name!r}", *_fixture_scope(fixture, item.config)


def _fixture_scope(fixture: pytest.FixtureDef[Any], config: pytest.Config) -> tuple[str, str]:
    """The setting that decides and the scope of the loop an async fixture runs on."""
    if not hasattr(fixture.func, "_loop_scope"):
        return "its scope", fixture.scope
    default: str = config.getini("asyncio_default_fixture_loop_scope")
    return "its loop_scope", fixture.func._loop_scope or default or fixture.scope
