"""The museum: real rate-limit bugs, each a small processor in our own words, with its correct twin."""

from __future__ import annotations

from importlib import import_module
from typing import Final

from .specimen import KINDS, Kind, Specimen

__all__ = ["KINDS", "SPECIMENS", "Kind", "Specimen"]

_MODULES: Final = (
    "sentinel_overtakes",
    "retry_state_lost",
    "full_queue",
    "stale_refusal",
    "second_wave",
    "lost_wakeup",
    "early_reset",
    "generation_misread",
    "refusals_spend_budget",
    "false_refusal",
    "oversized_item",
    "negative_attempts",
    "sink_error",
    "swapped_answers",
    "sleep_under_lock",
    "count_not_released",
    "limiter_over_grants",
    "permit_lost_on_cancel",
    "permit_held",
    "nested_retries",
    "retry_after_rounded_down",
    "http_date_ignored",
    "first_deadline_kept",
    "all_resume_at_once",
    "limit_not_enforced",
    "poisoned_pool",
    "resume_repeats",
    "unbounded_fan_out",
    "stream_just_ends",
    "error_inside_200",
    "half_a_body",
    "error_as_empty_text",
    "barrier_never_fills",
    "limiter_without_lock",
    "locks_in_two_orders",
    "slot_lost_at_deadline",
    "saved_twice_at_deadline",
    "interrupted_batch_runs_again",
    "permit_lost_on_interrupt",
    "local_reads_shared_writes",
    "check_then_act",
    "lease_outlives_owner",
    "incr_without_expire",
    "pause_known_to_one",
    "clock_skew",
)

SPECIMENS: Final[dict[str, Specimen]] = {
    name: import_module(f".{name}", __name__).SPECIMEN for name in _MODULES
}
"""All specimens by name, in the order of their rows."""
