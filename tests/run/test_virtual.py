"""A journaled run in virtual time: what one run learnt of a rate limit, the next one keeps to."""

from __future__ import annotations

from pathlib import Path

import anyio
import pytest

import wavetank
from wavetank.processor import ItemResult, LLMWorkItem, ParallelBatchProcessor
from wavetank.processor.journal import Journal


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_resumed_run_keeps_the_wait_of_an_earlier_run(tmp_path: Path, backend: str) -> None:
    """Cut off twice in a pause of five minutes, the work goes on, and no request is made before its end."""
    (tmp_path / "long.toml").write_text(
        'title = "Long"\n[[wave]]\nat = "0s"\nlasts = "300s"\nretry_after = "300s"\n'
    )
    items = [LLMWorkItem(f"row-{number}", f"Question {number}") for number in range(6)]

    async def main(tank: wavetank.Tank) -> float:
        for item in items:
            tank.ledger.submit(item.id)

        def complete(result: ItemResult[str]) -> None:
            tank.ledger.complete(result.id, result.value)

        async def execute(prompt: str) -> str:
            answer = await tank.fake_llm.call(prompt, item=f"row-{prompt.rpartition(' ')[2]}")
            return answer.text

        for seconds in (20.0, 40.0, 600.0):
            with anyio.move_on_after(seconds), Journal(tmp_path / f"{backend}.db", resume=True) as journal:
                async with ParallelBatchProcessor(
                    execute, workers=3, store=journal, on_result=complete
                ) as processor:
                    for item in items:
                        await processor.add_work(item)
                    await processor.process_all()
        return tank.now()

    run = wavetank.simulate(main, str(tmp_path / "long.toml"), backend=backend, checks="strict")
    run.check()
    refused = run.events.of("refused")
    assert len(refused) <= 3
    assert run.value is not None
    assert 300 < run.value < 400
