"""The error of a forecast that cannot be made."""

from __future__ import annotations

from typing import final


@final
class ForecastError(ValueError):
    """The question cannot be answered as it was put; the text names the place and the fix."""
