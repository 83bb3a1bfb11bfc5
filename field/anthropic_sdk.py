"""anthropic: its clients."""

import anthropic

from field.each import in_tasks, messages

PACKAGES = ("anthropic",)


async def run_async(rows):
    """`AsyncAnthropic().messages.create`, eight tasks"""
    client = anthropic.AsyncAnthropic()

    async def ask(row):
        answer = await client.messages.create(
            model="claude-sonnet-4-5", max_tokens=100, messages=messages(row)
        )
        return answer.content[0].text

    return await in_tasks(ask, rows)
