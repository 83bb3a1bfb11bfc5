"""What a provider did by itself, as tests of waves look at it."""

from __future__ import annotations

from wavetank.provider.model import Notice
from wavetank.provider.provider import Provider


def waves_and_held(provider: Provider, now: int) -> list[Notice]:
    """The waves that opened and closed and the requests that were held, up to now; no lines of batches."""
    return [each for each in provider.notices(now) if isinstance(each, Notice)]
