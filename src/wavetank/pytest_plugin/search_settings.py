"""The settings of a search on the command line or in the ini file, read and checked."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

import pytest

from . import options

if TYPE_CHECKING:
    from ..checks import Check


def setting_for(config: pytest.Config, name: str, *, given: bool) -> Any:
    """The value of an option for a search: that of the command line always counts.

    The ini file and the default count only for what the test has not `given` itself; `None`
    leaves it to the test, or to the search.

    Raises:
        pytest.UsageError: the value is wrong.
    """
    on_line = config.getoption(f"--llm-{name}")
    text = str(on_line if on_line is not None else "" if given else config.getini(options.ini_name(name)))
    if not text or (name == "seed" and on_line is None and given):
        return None
    if name == "seed":
        return options.seed(config)
    try:
        return _READ[name](text)
    except ValueError as error:
        raise pytest.UsageError(f"{options.given_as(config, name)}: {error}") from None


def _schedules(text: str) -> int:
    if not text.isdecimal() or not int(text):
        raise ValueError("give a whole number of at least 1")
    return int(text)


def _jobs(text: str) -> int | str:
    if text == "auto":
        return text
    if not text.isdecimal() or not int(text):
        raise ValueError("give a whole number of processes, at least 1, or auto")
    return int(text)


def _level(text: str) -> str:
    from ..sim.choices import Level

    return str(Level.parse(text))


def _policy(text: str) -> str:
    from ..sim.choices import Level
    from ..sim.policies import policy_named

    policy_named(text, seed=0, level=Level())
    return text


def _checks(text: str) -> tuple[Check, ...]:
    from ..checks import named

    return named(text)


_READ: Final[dict[str, Callable[[str], Any]]] = {
    "schedules": _schedules,
    "jobs": _jobs,
    "level": _level,
    "policy": _policy,
    "checks": _checks,
}

NAMES: Final = ("seed", *_READ)
"""The options of a search that the command line and the ini file have."""


def validate(config: pytest.Config) -> None:
    """Read every setting once, before anything runs.

    Raises:
        pytest.UsageError: a value is wrong; the text names the option and the nearest right value.
    """
    for name in NAMES:
        setting_for(config, name, given=False)
