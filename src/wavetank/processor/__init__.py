"""The reference processor: a batch of LLM calls that survives rate limits, on asyncio and trio.

It needs anyio and nothing else of this package.
"""

from __future__ import annotations

from .batch import ParallelBatchProcessor
from .classify import Failure, FailureKind, classify
from .delays import ExponentialDelay, FixedDelay, RateLimitStrategy
from .gate import Gate, Ticket
from .limits import Limits, Quota, RateInfo
from .run import WorkerLost
from .store import Sink, Store
from .work import BatchResult, CallResult, ItemResult, LLMCallStrategy, LLMWorkItem, TokenUsage

__all__ = [
    "BatchResult",
    "CallResult",
    "ExponentialDelay",
    "Failure",
    "FailureKind",
    "FixedDelay",
    "Gate",
    "ItemResult",
    "LLMCallStrategy",
    "LLMWorkItem",
    "Limits",
    "ParallelBatchProcessor",
    "Quota",
    "RateInfo",
    "RateLimitStrategy",
    "Sink",
    "Store",
    "Ticket",
    "TokenUsage",
    "WorkerLost",
    "classify",
]
