"""deepeval: its model, as its metrics call it."""

import os

os.environ["DEEPEVAL_TELEMETRY_OPT_OUT"] = "YES"
from deepeval.models import GPTModel

from field.each import in_tasks

PACKAGES = ("deepeval", "openai")


async def run_async(rows):
    """`GPTModel.a_generate`, eight tasks, telemetry off"""
    model = GPTModel(model="gpt-4o-mini")

    async def ask(row):
        answer = await model.a_generate(f"Summarise {row}")
        return answer[0] if isinstance(answer, tuple) else answer

    return await in_tasks(ask, rows)
