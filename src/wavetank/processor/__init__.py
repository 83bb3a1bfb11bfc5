"""The reference processor: it sends a batch of LLM calls and survives rate limits, on asyncio and trio.

It needs anyio and no other part of this package.
"""

from __future__ import annotations

from .batch import ParallelBatchProcessor
from .batch_result import BatchResult
from .decisions import Decision, DecisionKind
from .errors.agent_output import AgentFailed, classify_output, classify_result
from .errors.classify import ErrorClassifier, classify, error_in_answer
from .errors.rate_headers import rate_info
from .errors.request_failure import Failure, FailureKind
from .gate.delays import ExponentialDelay, FixedDelay, RateLimitStrategy
from .gate.gate import Gate
from .gate.tickets import GateClosed, Ticket
from .items import Attempt, CallResult, ItemResult, LLMCallStrategy, LLMWorkItem, TokenUsage
from .limits import Limits, Quota, RateInfo
from .metrics import OpenTelemetryMetrics
from .result_stream import Results
from .run_totals import Progress
from .shared.errors import SharedGateError
from .shared.shared_limits import Account, SharedLimits
from .stopping import Bounds, NotSent, RunStopped, WorkerLost
from .store import Sink, Store
from .token_estimate import ItemTooLarge

__all__ = [
    "Account",
    "AgentFailed",
    "Attempt",
    "BatchResult",
    "Bounds",
    "CallResult",
    "Decision",
    "DecisionKind",
    "ErrorClassifier",
    "ExponentialDelay",
    "Failure",
    "FailureKind",
    "FixedDelay",
    "Gate",
    "GateClosed",
    "ItemResult",
    "ItemTooLarge",
    "LLMCallStrategy",
    "LLMWorkItem",
    "Limits",
    "NotSent",
    "OpenTelemetryMetrics",
    "ParallelBatchProcessor",
    "Progress",
    "Quota",
    "RateInfo",
    "RateLimitStrategy",
    "Results",
    "RunStopped",
    "SharedGateError",
    "SharedLimits",
    "Sink",
    "Store",
    "Ticket",
    "TokenUsage",
    "WorkerLost",
    "classify",
    "classify_output",
    "classify_result",
    "error_in_answer",
    "rate_info",
]
