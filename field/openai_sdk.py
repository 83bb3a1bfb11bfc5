"""openai: its clients, as the yardstick."""

import openai

from field.each import in_tasks, in_threads, messages

PACKAGES = ("openai",)


async def run_async(rows):
    """`AsyncOpenAI().chat.completions.create`, eight tasks"""
    client = openai.AsyncOpenAI()

    async def ask(row):
        answer = await client.chat.completions.create(model="gpt-4o-mini", messages=messages(row))
        return answer.choices[0].message.content

    return await in_tasks(ask, rows)


def run_sync(rows):
    """`OpenAI().chat.completions.create`, eight threads"""
    client = openai.OpenAI()

    def ask(row):
        answer = client.chat.completions.create(model="gpt-4o-mini", messages=messages(row))
        return answer.choices[0].message.content

    return in_threads(ask, rows)
