"""langchain-anthropic: its own batch."""

from langchain_anthropic import ChatAnthropic

PACKAGES = ("langchain-anthropic", "langchain-core")
CONFIG = {"max_concurrency": 8}


async def run_abatch(rows):
    """`ChatAnthropic(max_retries=6).abatch`, `max_concurrency` 8"""
    model = ChatAnthropic(model="claude-sonnet-4-5", max_retries=6)
    prompts = [f"Summarise {row}" for row in rows]
    answers = await model.abatch(prompts, config=CONFIG, return_exceptions=True)
    return [answer if isinstance(answer, Exception) else answer.text for answer in answers]


def run_batch(rows):
    """`ChatAnthropic(max_retries=6).batch`, `max_concurrency` 8"""
    model = ChatAnthropic(model="claude-sonnet-4-5", max_retries=6)
    prompts = [f"Summarise {row}" for row in rows]
    answers = model.batch(prompts, config=CONFIG, return_exceptions=True)
    return [answer if isinstance(answer, Exception) else answer.text for answer in answers]
