"""Give a test its own runner of anyio's pytest plugin.

The plugin shares one runner for as long as any async fixture needs it; a runner that another
test's fixture keeps alive has the machine's clock, unless that fixture was made beside a test in
virtual time: then the test uses it too, as it would without wavetank.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final, final

from anyio._backends._asyncio import TestRunner

from ..sim.asyncio_loop import SimulatedLoop

_PLUGIN: Final = "anyio.pytest_plugin"
_NONE: Final[dict[str, Any]] = {"_current_runner": None, "_runner_stack": None, "_runner_leases": 0}


@final
class OwnRunner:
    """The plugin's runner in one test, kept while the test's world is left and entered again."""

    __slots__ = ("_state",)

    def __init__(self) -> None:
        self._state = dict(_NONE)

    @contextmanager
    def lent(self) -> Iterator[None]:
        """Put the test's runner in place of the shared one."""
        plugin = sys.modules.get(_PLUGIN)
        if plugin is None or not vars(plugin).keys() >= _NONE.keys():
            yield
            return
        shared = {name: getattr(plugin, name) for name in _NONE}
        if _is_simulated(shared["_current_runner"]) and self._state == _NONE:
            yield
            return
        vars(plugin).update(self._state)
        try:
            yield
        finally:
            self._state = {name: getattr(plugin, name) for name in _NONE}
            vars(plugin).update(shared)


def _is_simulated(runner: Any) -> bool:
    """Whether a runner of the plugin has a loop in virtual time."""
    return isinstance(runner, TestRunner) and isinstance(runner.get_loop(), SimulatedLoop)
