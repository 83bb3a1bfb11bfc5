"""Estimates the tokens of a request before it is sent."""

from __future__ import annotations

import math
from typing import Any, Final, final

from .errors.request_failure import Failure
from .gate.gate import Gate
from .items import LLMWorkItem
from .processor_options import Estimate
from .run_totals import RunTotals

CHARACTERS_PER_TOKEN: Final = 4
"""OpenAI's rule of thumb for English text."""
FIRST_ANSWER_TOKENS: Final = 256
"""The estimate for an answer until one has come: a paragraph or two."""


@final
class CallbackFailed(Exception):
    """A callback of the caller raised for one item: `scope`, `estimate_tokens` or `classifier`."""

    def __init__(self, callback: str, error: Exception) -> None:
        super().__init__(f"{callback} failed: {type(error).__name__}: {error}")
        self.error: Final = error


@final
class TokenEstimate:
    """Estimates tokens as the caller does, or from the prompt and the answers so far.

    Args:
        estimate: the caller's own, if there is one.
        totals: those of the run.
    """

    def __init__(self, estimate: Estimate | None, totals: RunTotals) -> None:
        self._estimate = estimate
        self._totals = totals

    def tokens(self, item: LLMWorkItem[Any]) -> float:
        """The tokens of an item, also if no limit on them is known: there may be one."""
        if self._estimate is not None:
            return _callers_estimate(self._estimate, item)
        out = self._totals.usage.output_tokens
        per_answer = out / self._totals.answers if out else FIRST_ANSWER_TOKENS
        return len(item.prompt) / CHARACTERS_PER_TOKEN + per_answer

    def too_large(self, gate: Gate, item: LLMWorkItem[Any]) -> Failure | None:
        """The failure of an item that needs more tokens than the limit ever allows at once."""
        most = gate.max_tokens_per_item
        if most is None or (tokens := self.tokens(item)) <= most:
            return None
        reason = f"too large: it needs {tokens:.0f} tokens, and the limit lets through {most:.0f} at once"
        return Failure("terminal", ItemTooLarge(f"{reason}; it was not sent"), reason)


@final
class ItemTooLarge(ValueError):
    """The error of an item that needs more tokens than the limit ever allows at once."""


def _callers_estimate(estimate: Estimate, item: LLMWorkItem[Any]) -> float:
    try:
        tokens = estimate(item)
        if not 0 <= tokens < math.inf:
            raise ValueError(f"it must return a number of tokens, not {tokens!r}")
    except Exception as error:
        raise CallbackFailed("estimate_tokens", error) from error
    return tokens
