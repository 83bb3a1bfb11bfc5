"""magentic: a function whose body is a prompt."""

from magentic import prompt

from field.each import in_tasks, in_threads

PACKAGES = ("magentic", "openai")


@prompt("Summarise {row}")
async def summarise(row: str) -> str: ...


@prompt("Summarise {row}")
def summarise_now(row: str) -> str: ...


async def run_async(rows):
    """an async function with `@prompt`, eight tasks"""
    return await in_tasks(summarise, rows)


def run_sync(rows):
    """a function with `@prompt`, eight threads"""
    return in_threads(summarise_now, rows)
