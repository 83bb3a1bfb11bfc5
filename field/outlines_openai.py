"""outlines: a model over OpenAI's SDK, with a type for the answer."""

import openai
import outlines
from pydantic import BaseModel

from field.each import in_tasks

PACKAGES = ("outlines", "openai")


class Summary(BaseModel):
    title: str
    score: int


async def run_async(rows):
    """`from_openai(AsyncOpenAI(), …)` with a Pydantic model, eight tasks"""
    model = outlines.from_openai(openai.AsyncOpenAI(), "gpt-4o-mini")
    return await in_tasks(lambda row: model(f"Summarise {row}", Summary), rows)
