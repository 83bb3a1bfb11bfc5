"""The reference processor: a batch of LLM calls that survives rate limits, on asyncio and trio.

It needs anyio and nothing else of this package.
"""

from __future__ import annotations

from .agents import AgentFailed, classify_output, classify_result
from .batch import ParallelBatchProcessor
from .classify import ErrorClassifier, classify, error_in_answer
from .decisions import Decision, DecisionKind
from .delays import ExponentialDelay, FixedDelay, RateLimitStrategy
from .failure import Failure, FailureKind
from .gate import Gate
from .limits import Limits, Quota, RateInfo
from .metrics import OpenTelemetryMetrics
from .rate_headers import rate_info
from .results import BatchResult
from .sender import ItemTooLarge
from .stopping import Bounds, NotSent, RunStopped, WorkerLost
from .store import Sink, Store
from .streamed import Results
from .tickets import GateClosed, Ticket
from .work import CallResult, ItemResult, LLMCallStrategy, LLMWorkItem, TokenUsage

__all__ = [
    "AgentFailed",
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
    "Quota",
    "RateInfo",
    "RateLimitStrategy",
    "Results",
    "RunStopped",
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
