"""llama-index: its own runner of jobs."""

from llama_index.core.async_utils import run_jobs
from llama_index.llms.openai import OpenAI

PACKAGES = ("llama-index-core", "llama-index-llms-openai", "openai")


async def run_jobs_of_rows(rows):
    """`run_jobs(…, workers=8)` of `OpenAI().acomplete`"""
    model = OpenAI(model="gpt-4o-mini")

    async def ask(row):
        try:
            return (await model.acomplete(f"Summarise {row}")).text
        except Exception as error:
            return error

    return await run_jobs([ask(row) for row in rows], workers=8)
