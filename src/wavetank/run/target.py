"""The name of where a row goes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeVar, final

V = TypeVar("V")


@final
@dataclass(frozen=True, slots=True)
class Target:
    """Where a row goes: a provider, by its name, and one of its models."""

    provider: str
    model: str

    @property
    def name(self) -> str:
        """What options and reports call it.

        >>> Target("openai", "gpt-5").name
        'openai/gpt-5'
        """
        return f"{self.provider}/{self.model}"


def chosen(values: Mapping[str, V], target: Target) -> V | None:
    """The value for a target: that of its whole name, its model, its provider, or of all."""
    for name in (target.name, target.model, target.provider, ""):
        if name in values:
            return values[name]
    return None
