"""The museum: real rate-limit bugs, each a small processor in our own words, with its correct twin."""

from __future__ import annotations

from typing import Final

from . import (
    all_resume_at_once,
    barrier_never_fills,
    count_not_released,
    early_reset,
    error_as_empty_text,
    error_inside_200,
    false_refusal,
    first_deadline_kept,
    full_queue,
    generation_misread,
    half_a_body,
    http_date_ignored,
    limit_not_enforced,
    limiter_over_grants,
    lost_wakeup,
    negative_attempts,
    nested_retries,
    oversized_item,
    permit_held,
    permit_lost_on_cancel,
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
    stream_just_ends,
    swapped_answers,
    unbounded_fan_out,
)
from .specimen import KINDS, Kind, Specimen

__all__ = ["KINDS", "SPECIMENS", "Kind", "Specimen"]

_MODULES: Final = (
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
    count_not_released,
    limiter_over_grants,
    permit_lost_on_cancel,
    permit_held,
    nested_retries,
    retry_after_rounded_down,
    http_date_ignored,
    first_deadline_kept,
    all_resume_at_once,
    limit_not_enforced,
    poisoned_pool,
    resume_repeats,
    unbounded_fan_out,
    stream_just_ends,
    error_inside_200,
    half_a_body,
    error_as_empty_text,
    barrier_never_fills,
)

SPECIMENS: Final[dict[str, Specimen]] = {module.SPECIMEN.name: module.SPECIMEN for module in _MODULES}
"""All specimens by name, in the order of their rows."""
