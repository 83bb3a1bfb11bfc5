"""haystack: a generator in an async pipeline's component."""

from haystack.components.generators.chat import OpenAIChatGenerator
from haystack.dataclasses import ChatMessage

from field.each import in_tasks, in_threads

PACKAGES = ("haystack-ai", "openai")


async def run_async(rows):
    """`OpenAIChatGenerator.run_async`, eight tasks"""
    generator = OpenAIChatGenerator(model="gpt-4o-mini")

    async def ask(row):
        done = await generator.run_async([ChatMessage.from_user(f"Summarise {row}")])
        return done["replies"][0].text

    return await in_tasks(ask, rows)


def run_sync(rows):
    """`OpenAIChatGenerator.run`, eight threads"""
    generator = OpenAIChatGenerator(model="gpt-4o-mini")

    def ask(row):
        return generator.run([ChatMessage.from_user(f"Summarise {row}")])["replies"][0].text

    return in_threads(ask, rows)
