"""What providers allow and charge, by model and tier: files in the package, or a user's in the same form."""

from __future__ import annotations

from .allowance import Allowance, LimitsError, Price, ProviderLimits, Source
from .lookup import listed_limits, load_limits, provider_names

__all__ = [
    "Allowance",
    "LimitsError",
    "Price",
    "ProviderLimits",
    "Source",
    "listed_limits",
    "load_limits",
    "provider_names",
]
