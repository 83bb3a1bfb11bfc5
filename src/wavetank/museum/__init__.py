"""The museum: real rate-limit bugs, each a small processor in our own words, with its correct twin."""

from __future__ import annotations

from typing import Final

from . import (
    barrier_never_fills,
    early_reset,
    false_refusal,
    first_deadline_kept,
    full_queue,
    generation_misread,
    lost_wakeup,
    negative_attempts,
    oversized_item,
    permit_held,
    poisoned_pool,
    refusals_spend_budget,
    resume_repeats,
    retry_after_rounded_down,
    retry_state_lost,
    second_wave,
    sentinel_overtakes,
    sink_error,
    sleep_under_lock,
    stale_refusal,
    swapped_answers,
)
from .specimen import KINDS, Kind, Specimen

__all__ = ["KINDS", "SPECIMENS", "Kind", "Specimen"]

_ROOMS: Final = (
    sentinel_overtakes,
    retry_state_lost,
    full_queue,
    stale_refusal,
    second_wave,
    lost_wakeup,
    early_reset,
    generation_misread,
    refusals_spend_budget,
    false_refusal,
    oversized_item,
    negative_attempts,
    sink_error,
    swapped_answers,
    sleep_under_lock,
    permit_held,
    retry_after_rounded_down,
    first_deadline_kept,
    poisoned_pool,
    resume_repeats,
    barrier_never_fills,
)

SPECIMENS: Final[dict[str, Specimen]] = {room.SPECIMEN.name: room.SPECIMEN for room in _ROOMS}
"""All specimens by name, in the order of their rows."""
