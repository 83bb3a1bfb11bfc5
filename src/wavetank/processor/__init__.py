"""The reference processor: a batch of LLM calls that survives rate limits, on asyncio and trio.

It needs anyio and nothing else of this package.
"""

from __future__ import annotations

from .batch import ParallelBatchProcessor
from .classify import Failure, FailureKind, classify
from .gate import Gate, Ticket
from .run import WorkerLost
from .work import BatchResult, CallResult, ItemResult, LLMCallStrategy, LLMWorkItem, TokenUsage

__all__ = [
    "BatchResult",
    "CallResult",
    "Failure",
    "FailureKind",
    "Gate",
    "ItemResult",
    "LLMCallStrategy",
    "LLMWorkItem",
    "ParallelBatchProcessor",
    "Ticket",
    "TokenUsage",
    "WorkerLost",
    "classify",
]
