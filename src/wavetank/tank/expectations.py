"""What `tank.expect` accepts: the names, and what each value must be."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Final

from ..checks import (
    answered,
    hosts,
    in_flight_limit,
    no_herd,
    no_storm,
    order,
    outcomes,
    request_rate,
    starvation,
    within,
)
from ..clock import parse_duration
from ..text import did_you_mean

Value = float | str | bool | Iterable[str]

UNKNOWN_HOSTS: Final = hosts.EXPECTATION

ORDERS: Final = {"input": order.INPUT}
"""The words for an order of results, and what the header of the log has for them."""


def expected(given: Mapping[str, Value], before: Mapping[str, float]) -> dict[str, int | float]:
    """What the header of a log gets for `tank.expect(**given)`, after what was declared `before`.

    Raises:
        TypeError: no check judges an expectation of that name.
        ValueError: a value is out of range, or has a wrong word or unit.
    """
    found: dict[str, int | float] = {}
    for name, value in given.items():
        if name not in NAMES:
            meant = did_you_mean(name, NAMES, end=" ")
            raise TypeError(f"no check judges the expectation {name!r}; {meant}there are: {', '.join(NAMES)}")
        try:
            if name == UNKNOWN_HOSTS:
                declared_hosts(value)
            else:
                found[name] = EXPECTATIONS[name](value)
        except ValueError as error:
            raise ValueError(f"expect({name}={value!r}): {error}") from None
    if request_rate.BURST in found and request_rate.RATE not in {**before, **found}:
        raise ValueError(f"expect(burst={given['burst']!r}): it needs requests_per_minute beside it")
    return found


def declared_hosts(value: Value) -> list[str]:
    """The patterns of hosts that are declared: a list, or a text with commas or blanks between them.

    >>> declared_hosts("*.posthog.com, PyPI.org"), declared_hosts(["localhost:4000"])
    (['*.posthog.com', 'pypi.org'], ['localhost:4000'])

    Raises:
        ValueError: one is no host.
    """
    given = value.replace(",", " ").split() if isinstance(value, str) else value
    patterns = [*given] if isinstance(given, Iterable) else []
    if not patterns or not all(isinstance(each, str) and each.strip() for each in patterns):
        raise ValueError('it must be a list of hosts or patterns, such as ["*.posthog.com"]')
    for each in patterns:
        if "/" in each or any(letter.isspace() for letter in each.strip()):
            raise ValueError(f'{each!r} is no host: leave out "https://" and the path')
    return [each.strip().lower() for each in patterns]


def read(text: str) -> Value:
    """A value as it is written in an ini file: a number, `true`, `false`, or a word.

    >>> read("40"), read("0.5"), read("true"), read("10m")
    (40, 0.5, True, '10m')
    """
    stripped = text.strip()
    if stripped.lower() in ("true", "false"):
        return stripped.lower() == "true"
    for number in (int, float):
        try:
            return number(stripped)
        except ValueError:
            continue
    return stripped.strip("\"'")


def _whole(value: Value, least: int) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise ValueError(f"it must be a whole number of at least {least}")
    return value


def _at_least_one(value: Value) -> int:
    return _whole(value, 1)


def _count(value: Value) -> int:
    return _whole(value, 0)


def _share(value: Value) -> float:
    if not isinstance(value, int | float) or isinstance(value, bool) or not 0 < value <= 1:
        raise ValueError("it must be a share above 0 and at most 1")
    return value


def _order(value: Value) -> int:
    if value not in ORDERS:
        raise ValueError(f"there is: {', '.join(map(repr, ORDERS))}")
    return ORDERS[str(value)]


def _duration(value: Value) -> int:
    if not isinstance(value, str):
        raise ValueError('it must be a duration with its unit, such as "250ms", "2s" or "10m"')
    return int(parse_duration(value))


def _yes_or_no(value: Value) -> int:
    if not isinstance(value, bool):
        raise ValueError("it must be True or False")
    return int(value)


EXPECTATIONS: Final[dict[str, Callable[[Value], int | float]]] = {
    request_rate.BURST: _at_least_one,
    outcomes.COMPLETED: _count,
    outcomes.FAILED: _count,
    answered.EXPECTATION: _yes_or_no,
    no_herd.EXPECTATION: _share,
    in_flight_limit.EXPECTATION: _at_least_one,
    order.NAME: _order,
    "paid_per_item": _at_least_one,
    outcomes.REFUSED: _count,
    no_storm.EXPECTATION: _at_least_one,
    request_rate.RATE: _at_least_one,
    starvation.NAME: _at_least_one,
    outcomes.TOKENS: _count,
    within.NAME: _duration,
}
"""Each expectation that is a number, and what makes of its value what the header of the log has."""

NAMES: Final = (*EXPECTATIONS, UNKNOWN_HOSTS)
"""All expectations."""
