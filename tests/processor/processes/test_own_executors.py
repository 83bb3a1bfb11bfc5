"""Executors of the user's own that lose a worker: the call is tried again, and the batch goes on."""

from __future__ import annotations

import asyncio
import os
from concurrent.futures import BrokenExecutor, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from concurrent.futures.thread import BrokenThreadPool
from multiprocessing import get_context
from pathlib import Path

import anyio
import pytest

from wavetank.processor import LLMWorkItem, ParallelBatchProcessor, classify

WORKERS = 2


def die_once(prompt: str, folder: str) -> str:
    """Take the whole process away, the first time that the prompt asks for it."""
    mark = Path(folder, prompt)
    if prompt == "deadly" and not mark.exists():
        mark.touch()
        os._exit(1)
    return prompt.upper()


@pytest.mark.parametrize(
    "error",
    [
        BrokenProcessPool("gone"),
        BrokenThreadPool("gone"),
        BrokenExecutor("gone"),
        anyio.BrokenWorkerProcess(),
    ],
)
def test_a_pool_that_lost_a_worker_is_an_error_that_another_try_may_resolve(error: Exception) -> None:
    """Nothing is wrong with the item, nor with the others that were under way in the same pool."""
    failure = classify(error)
    assert (failure.kind, failure.worker_died, failure.counts) == ("transient", True, True)


@pytest.mark.parametrize("backend", ["asyncio"])
def test_a_batch_continues_with_an_executor_that_its_call_renews(tmp_path: Path, backend: str) -> None:
    """As docs/keeping.md shows: the first call that finds the executor broken makes a new one."""
    made: list[ProcessPoolExecutor] = []

    def renewed() -> ProcessPoolExecutor:
        made.append(ProcessPoolExecutor(WORKERS, mp_context=get_context("spawn")))
        return made[-1]

    async def call(prompt: str) -> str:
        pool = made[-1]
        try:
            return await asyncio.get_running_loop().run_in_executor(pool, die_once, prompt, str(tmp_path))
        except BrokenExecutor:
            if pool is made[-1]:
                renewed()
            raise

    async def main() -> None:
        renewed()
        async with ParallelBatchProcessor(call, workers=WORKERS) as processor:
            for prompt in ("a", "deadly", "b", "c", "d"):
                await processor.add_work(LLMWorkItem(prompt, prompt))
            batch = await processor.process_all()
        assert [result.value for result in batch.results] == ["A", "DEADLY", "B", "C", "D"]
        assert batch.retries == 0
        assert 1 <= batch.recoveries <= WORKERS

    anyio.run(main, backend=backend)
    for pool in made:
        pool.shutdown()


@pytest.mark.anyio
async def test_an_executor_that_stays_broken_fails_its_items_one_by_one() -> None:
    """Each by its own attempts, and none keeps the others from being tried."""
    pool = ThreadPoolExecutor(1, initializer=lambda: 1 / 0)

    async def call(prompt: str) -> str:
        if prompt == "well":
            return prompt
        pool.submit(str, prompt).result()
        raise AssertionError

    async with ParallelBatchProcessor(call, workers=2, max_attempts=1) as processor:
        for prompt in ("a", "well", "b"):
            await processor.add_work(LLMWorkItem(prompt, prompt))
        batch = await processor.process_all()
    pool.shutdown()
    hint = "this executor takes no more calls; your call has to make another"
    assert (batch.succeeded, batch.failures) == (1, {f"BrokenThreadPool: {hint}": 2})
