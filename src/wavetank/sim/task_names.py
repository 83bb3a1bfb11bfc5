"""What a report calls a task."""

from __future__ import annotations

import sys
from typing import Final

_UNNAMED: Final = "functools"
"""What anyio calls a task that runs a partial function."""

_OF_A_RUNNER: Final = {"TestRunner._run_tests_and_fixtures": "test"}
"""Functions of test runners in whose task the test runs: no reader knows them by their own names."""


def called(name: str, coro: object, number: int) -> str:
    """The user's own name of a task or, if a library made it up, its function and its number."""
    function = getattr(coro, "__qualname__", "task") if name in ("", _UNNAMED) else _function_of(name)
    if function in _OF_A_RUNNER:
        return _OF_A_RUNNER[function]
    return name if function is None else f"{function.rpartition('<locals>.')[2]}#{number}"


def _function_of(name: str) -> str | None:
    """The function in a name that is a module and a function, as anyio and trio make them up."""
    module, _, function = name.rpartition(".")
    while module:
        if hasattr(sys.modules.get(module), function.partition(".")[0]):
            return function
        module, _, last = module.rpartition(".")
        function = f"{last}.{function}"
    return None
