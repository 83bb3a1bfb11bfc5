"""litellm: its own batch, and its coroutines."""

import litellm

from field.each import in_tasks, messages

PACKAGES = ("litellm",)


def run_batch(rows):
    """`batch_completion(max_workers=8, num_retries=6)`"""
    chats = [messages(row) for row in rows]
    answers = litellm.batch_completion("openai/gpt-4o-mini", chats, max_workers=8, num_retries=6)
    return [
        answer if isinstance(answer, Exception) else answer.choices[0].message.content for answer in answers
    ]


async def run_async(rows):
    """`acompletion(num_retries=6)`, eight tasks"""

    async def ask(row):
        answer = await litellm.acompletion("openai/gpt-4o-mini", messages(row), num_retries=6)
        return answer.choices[0].message.content

    return await in_tasks(ask, rows)
