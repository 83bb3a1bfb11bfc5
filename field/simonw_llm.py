"""llm: models by name."""

import llm

from field.each import in_tasks, in_threads

PACKAGES = ("llm", "openai")


async def run_async(rows):
    """`get_async_model(…).prompt`, eight tasks"""
    model = llm.get_async_model("gpt-4o-mini")

    async def ask(row):
        return await model.prompt(f"Summarise {row}").text()

    return await in_tasks(ask, rows)


def run_sync(rows):
    """`get_model(…).prompt`, eight threads"""
    model = llm.get_model("gpt-4o-mini")
    return in_threads(lambda row: model.prompt(f"Summarise {row}").text(), rows)
