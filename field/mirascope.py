"""mirascope: a function whose return value is a prompt."""

from mirascope import llm

from field.each import in_tasks, in_threads

PACKAGES = ("mirascope", "openai")


@llm.call("openai/gpt-4o-mini")
async def summary(row: str):
    return f"Summarise {row}"


@llm.call("openai/gpt-4o-mini")
def summary_now(row: str):
    return f"Summarise {row}"


async def run_async(rows):
    """an async function with `@llm.call`, eight tasks"""

    async def ask(row):
        return str((await summary(row)).content)

    return await in_tasks(ask, rows)


def run_sync(rows):
    """a function with `@llm.call`, eight threads"""
    return in_threads(lambda row: str(summary_now(row).content), rows)
