"""The target of a row: a provider and a model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeVar, final

V = TypeVar("V")


@final
@dataclass(frozen=True, slots=True)
class Target:
    """The target of a row: the name of a provider, and one of its models."""

    provider: str
    model: str

    @property
    def name(self) -> str:
        """Its name in options and reports.

        >>> Target("openai", "gpt-5").name
        'openai/gpt-5'
        """
        return f"{self.provider}/{self.model}"


def chosen(values: Mapping[str, V], target: Target) -> V | None:
    """The value for a target: by its full name, its model, its provider, or for all targets."""
    for name in (target.name, target.model, target.provider, ""):
        if name in values:
            return values[name]
    return None
