"""inspect_ai: an evaluation of a dataset."""

import os
import tempfile

os.environ["INSPECT_DISPLAY"] = "none"
from inspect_ai import Task, eval_async
from inspect_ai.dataset import Sample
from inspect_ai.solver import generate

PACKAGES = ("inspect_ai", "openai")


async def run_eval(rows):
    """`eval_async`, `max_connections=8`, `fail_on_error=False`"""
    samples = [Sample(input=f"Summarise {row}", id=row) for row in rows]
    task = Task(dataset=samples, solver=generate())
    with tempfile.TemporaryDirectory() as folder:
        [log] = await eval_async(
            task,
            model="openai/gpt-4o-mini",
            max_connections=8,
            fail_on_error=False,
            log_dir=folder,
        )
        done = {sample.id: sample for sample in log.samples or []}  # read from the folder only here
    if not done:
        return [RuntimeError(str(log.error))] * len(rows)
    return [
        RuntimeError(done[row].error.message) if done[row].error else done[row].output.completion
        for row in rows
    ]
