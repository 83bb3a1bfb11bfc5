"""async-batch-llm before the same limit, in the same virtual time; prints its figures as JSON.

It runs in the environment of the other tools, where it and this package are installed.
"""

from __future__ import annotations

import importlib
import json
import logging
from typing import Any, Final

import wavetank
from wavetank import Tank

from .limited import ideal_seconds, limited

WORKERS: Final = 10
_peer: Any = importlib.import_module("async_batch_llm")


class Strategy(_peer.LLMCallStrategy):  # type: ignore[misc]
    """Asks the fake at the direct seam."""

    def __init__(self, tank: Tank) -> None:
        self.tank = tank

    async def execute(self, prompt: str, attempt: int, timeout: float, state: Any = None) -> Any:  # noqa: ARG002
        answer = await self.tank.fake_llm.call(prompt, item=prompt)
        return answer.text, {}, None


class Classifier(_peer.ErrorClassifier):  # type: ignore[misc]
    """Knows a refusal of the fake, and passes its Retry-After on."""

    def classify(self, exception: Exception) -> Any:
        limited = getattr(exception, "status", None) == 429
        return _peer.ErrorInfo(
            is_retryable=limited,
            is_rate_limit=limited,
            is_timeout=False,
            error_category="rate_limit" if limited else "error",
            suggested_wait=getattr(exception, "retry_after", None),
        )


WAYS: Final[dict[str, dict[str, Any]]] = {
    "as it comes": {},
    "cooldown of 1 s, no slow start": {
        "rate_limit": _peer.RateLimitConfig(cooldown_seconds=1.0, slow_start_items=0),
    },
    "the same, 3 600 requests a minute configured": {
        "rate_limit": _peer.RateLimitConfig(cooldown_seconds=1.0, slow_start_items=0),
        "max_requests_per_minute": 3600,
    },
}


def figure(items: int, refusal_ms: int, way: str) -> dict[str, Any]:
    """One batch."""

    async def main(tank: Tank) -> int:
        strategy = Strategy(tank)
        config = _peer.ProcessorConfig(max_workers=WORKERS, **WAYS[way])
        async with _peer.ParallelBatchProcessor(config=config, error_classifier=Classifier()) as processor:
            for number in range(items):
                name = f"item-{number}"
                await processor.add_work(_peer.LLMWorkItem(item_id=name, strategy=strategy, prompt=name))
            return int((await processor.process_all()).succeeded)

    run = wavetank.simulate(main, limited(refusal_ms), max_virtual_seconds=36_000)
    return {
        "name": f"async-batch-llm, {way}",
        "items": items,
        "refusal_ms": refusal_ms,
        "times_ideal": run.virtual_seconds / ideal_seconds(items),
        "refused": len(run.events.of("refused")),
        "succeeded": run.value,
        "error": None if run.error is None else repr(run.error),
    }


if __name__ == "__main__":
    logging.disable(logging.CRITICAL)
    print(json.dumps([figure(200, ms, way) for way in WAYS for ms in (0, 10, 500)]))
