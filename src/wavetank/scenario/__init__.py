"""A provider's behaviour over time: TOML or code in, a `Scenario` out.

Durations are nanoseconds (`wavetank.clock.Duration`), shares lie in 0..1, and patterns
are shell patterns matched with `fnmatch.fnmatchcase`.
"""

from __future__ import annotations

from ..fault_kinds import DELAYS, OUTAGES, FaultKind
from .answer import Answer, Finish, ToolCall, Usage, answer_of
from .answer_files import AnswerFile, UsageFile, UsageRow
from .errors import ScenarioError
from .loading import (
    catalogue,
    load_scenario,
    override_scenario,
    parse_scenario,
    scenario_from_dict,
)
from .meaning import (
    VARIED,
    fault_delay,
    has_window,
    last_instant,
    lets_through,
    limits_scope,
    longest_retry_after,
    quiet_instant,
    refusal_error,
    usual_status,
    wave_retry_after,
    wave_scope,
    wave_status,
    window_at,
    without,
)
from .model import (
    Answers,
    DayKind,
    DurationRange,
    Fault,
    Host,
    Latency,
    Limits,
    Mark,
    Match,
    ProviderClock,
    Ramp,
    RefusalError,
    RetryAfter,
    RetryAfterForm,
    Scenario,
    ScopeKind,
    TokenRange,
    Wave,
    WindowKind,
    Wrapping,
)
from .rules import PLACEHOLDERS
from .writing import digest, written

__all__ = [
    "DELAYS",
    "OUTAGES",
    "PLACEHOLDERS",
    "VARIED",
    "Answer",
    "AnswerFile",
    "Answers",
    "DayKind",
    "DurationRange",
    "Fault",
    "FaultKind",
    "Finish",
    "Host",
    "Latency",
    "Limits",
    "Mark",
    "Match",
    "ProviderClock",
    "Ramp",
    "RefusalError",
    "RetryAfter",
    "RetryAfterForm",
    "Scenario",
    "ScenarioError",
    "ScopeKind",
    "TokenRange",
    "ToolCall",
    "Usage",
    "UsageFile",
    "UsageRow",
    "Wave",
    "WindowKind",
    "Wrapping",
    "answer_of",
    "catalogue",
    "digest",
    "fault_delay",
    "has_window",
    "last_instant",
    "lets_through",
    "limits_scope",
    "load_scenario",
    "longest_retry_after",
    "override_scenario",
    "parse_scenario",
    "quiet_instant",
    "refusal_error",
    "scenario_from_dict",
    "usual_status",
    "wave_retry_after",
    "wave_scope",
    "wave_status",
    "window_at",
    "without",
    "written",
]
