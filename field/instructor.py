"""instructor: structured answers, through OpenAI's and Anthropic's SDK."""

import instructor
from pydantic import BaseModel

from field.each import in_tasks, in_threads, messages

PACKAGES = ("instructor", "openai", "anthropic")


class Summary(BaseModel):
    title: str
    score: int


async def run_openai(rows):
    """`from_provider("openai/…", async_client=True)`, eight tasks, `max_retries=3`"""
    client = instructor.from_provider("openai/gpt-4o-mini", async_client=True)
    return await in_tasks(
        lambda row: client.create(response_model=Summary, messages=messages(row), max_retries=3), rows
    )


def run_threads(rows):
    """`from_provider("openai/…")`, eight threads, `max_retries=3`"""
    client = instructor.from_provider("openai/gpt-4o-mini")
    return in_threads(
        lambda row: client.create(response_model=Summary, messages=messages(row), max_retries=3), rows
    )


async def run_anthropic(rows):
    """`from_provider("anthropic/…", async_client=True)`, eight tasks, `max_retries=3`"""
    client = instructor.from_provider("anthropic/claude-sonnet-4-5", async_client=True)
    return await in_tasks(
        lambda row: client.create(
            response_model=Summary, messages=messages(row), max_retries=3, max_tokens=500
        ),
        rows,
    )
