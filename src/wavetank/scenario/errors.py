"""The error of this package, and the place in a scenario that it names."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Final, final

from ..shown import shortened
from ..text import did_you_mean

LONGEST: Final = 1000
"""Characters of each part of an error: a value in the file may be of any length."""


class ScenarioError(ValueError):
    """A scenario cannot be used; the text names the source, the key and the fix."""


@final
@dataclass(frozen=True, slots=True)
class Place:
    """A place in a scenario: the file or name it came from, the table, the keys inside it.

    Paths in the scenario start from `folder`, by default where the program runs.
    """

    source: str
    table: str = ""
    keys: str = ""
    folder: str = ""

    def key(self, name: str) -> Place:
        """The key `name` inside this place."""
        return replace(self, keys=f"{self.keys}.{name}" if self.keys else name)

    def entry(self, number: int) -> Place:
        """The entry `number` of this array of tables, counted from 1 as a reader counts."""
        return replace(self, table=f"[[{self.keys}]] number {number}", keys="")

    def error(self, what: str) -> ScenarioError:
        """An error that says where it is before it says what is wrong."""
        inside = ", ".join(part for part in (self.table, self.keys) if part)
        shown = (shortened(part, LONGEST) for part in (self.source, inside, what) if part)
        return ScenarioError(": ".join(shown))


def nearest(name: str, options: Iterable[str]) -> str:
    """The end of a sentence on a wrong name: `; did you mean 'x'?`, or a full stop when nothing is close."""
    return did_you_mean(name, options, start="; ") or "."


def listed(options: Iterable[str]) -> str:
    """Names for an error text, in the order given."""
    return ", ".join(options) or "nothing"
