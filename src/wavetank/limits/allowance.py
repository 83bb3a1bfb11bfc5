"""What one tier allows of one model, with its price and its sources, and the file that it comes from."""

from __future__ import annotations

from datetime import date as Date
from typing import Final, Literal, final

import msgspec

NUMBERS: Final = (
    "requests_per_second",
    "requests_per_minute",
    "requests_per_day",
    "input_tokens_per_minute",
    "output_tokens_per_minute",
    "tokens_per_minute",
    "tokens_per_day",
    "tokens_per_month",
    "concurrent",
    "batch_queue_tokens",
    "batch_queue_requests",
)
"""What a tier may state, all whole numbers above 0. What no source states is `None`."""

_SCENARIO: Final = (
    "requests_per_minute",
    "input_tokens_per_minute",
    "output_tokens_per_minute",
    "tokens_per_minute",
    "requests_per_day",
    "tokens_per_day",
    "concurrent",
)
"""Those that the table `[[limit]]` of a scenario has under the same name."""


class LimitsError(ValueError):
    """Limits cannot be found or read; the text names the place and the fix."""


@final
class Source(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where numbers are from: an address, and the day on which it said so as far as is known."""

    url: str
    date: Date
    note: str = ""


@final
class Price(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """US dollars for a million tokens; `None` where no source states it."""

    input: float
    output: float
    batch_input: float | None = None
    batch_output: float | None = None
    source: str


@final
class Tier(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One tier of a model as a file states it; sources are names of `[sources]`.

    `batch_source` is that of the batch queue, where it is another one.
    """

    name: str
    source: str
    batch_source: str | None = None
    note: str = ""
    requests_per_second: int | None = None
    requests_per_minute: int | None = None
    requests_per_day: int | None = None
    input_tokens_per_minute: int | None = None
    output_tokens_per_minute: int | None = None
    tokens_per_minute: int | None = None
    tokens_per_day: int | None = None
    tokens_per_month: int | None = None
    concurrent: int | None = None
    batch_queue_tokens: int | None = None
    batch_queue_requests: int | None = None


@final
class Model(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One model, or several under `aliases` that have the same limits."""

    name: str
    aliases: tuple[str, ...] = ()
    note: str = ""
    price: Price | None = None
    tier: tuple[Tier, ...]


@final
class ProviderLimits(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A whole file. `day` and `day_begins` say when a day's budget comes back, as in a scenario."""

    provider: str
    note: str = ""
    day: Literal["calendar", "rolling"] = "calendar"
    day_begins: str = "0s"
    sources: dict[str, Source]
    model: tuple[Model, ...]


@final
class Allowance(msgspec.Struct, frozen=True, kw_only=True):
    """What one tier allows of one model: `tier` has the numbers, `price` what tokens cost.

    `overridden` names the numbers that were not taken from the file.
    """

    file: ProviderLimits
    model: Model
    tier: Tier
    overridden: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The name under which it is found, such as `openai/gpt-4o-mini/tier-1`."""
        return f"{self.file.provider}/{self.model.name}/{self.tier.name}"

    @property
    def price(self) -> Price | None:
        """What tokens cost, `None` where no source states it."""
        return self.model.price

    @property
    def numbers(self) -> dict[str, int]:
        """The numbers that are known, by their names (`NUMBERS`)."""
        return {name: value for name in NUMBERS if (value := getattr(self.tier, name)) is not None}

    @property
    def sources(self) -> tuple[Source, ...]:
        """Where the numbers are from, each source once."""
        price = self.model.price
        names = (self.tier.source, self.tier.batch_source, price and price.source)
        return tuple(self.file.sources[name] for name in dict.fromkeys(names) if name is not None)

    def scenario_limits(self) -> list[dict[str, object]]:
        """The limits as the tables `[[limit]]` of a scenario, with plain values; empty if it has none.

        A month's budget and batch queues are not in them: a scenario has no such limits.
        """
        known = self.numbers
        table: dict[str, object] = {name: known[name] for name in _SCENARIO if name in known}
        if "requests_per_day" in table or "tokens_per_day" in table:
            if self.file.day == "rolling":
                table["day"] = "rolling"
            elif self.file.day_begins != "0s":
                table["day_begins"] = self.file.day_begins
        tables = [table] if table else []
        if "requests_per_second" in known:
            tables.append({"requests": known["requests_per_second"], "per": "1s"})
        return tables
