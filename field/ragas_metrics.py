"""ragas: its model, which asks for structured answers."""

import os

os.environ["RAGAS_DO_NOT_TRACK"] = "true"
import openai
from pydantic import BaseModel
from ragas.llms import llm_factory

from field.each import in_tasks

PACKAGES = ("ragas", "instructor", "openai")


class Summary(BaseModel):
    title: str
    score: int


async def run_async(rows):
    """`llm_factory(…, client=AsyncOpenAI()).agenerate`, eight tasks, tracking off"""
    model = llm_factory("gpt-4o-mini", client=openai.AsyncOpenAI())
    return await in_tasks(lambda row: model.agenerate(f"Summarise {row}", Summary), rows)
