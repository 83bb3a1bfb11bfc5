"""async-batch-llm: its own processor."""

import openai
from async_batch_llm import LLMCallStrategy, LLMWorkItem, ParallelBatchProcessor, ProcessorConfig

from field.each import messages

PACKAGES = ("async-batch-llm", "openai")


class Chat(LLMCallStrategy):
    def __init__(self):
        self.client = openai.AsyncOpenAI(max_retries=0)

    async def execute(self, prompt, attempt, timeout, state=None):
        answer = await self.client.chat.completions.create(model="gpt-4o-mini", messages=messages(prompt))
        return answer.choices[0].message.content, {"input_tokens": 1, "output_tokens": 1, "total_tokens": 2}


async def run_processor(rows):
    """`ParallelBatchProcessor`, `max_workers=8`, over `AsyncOpenAI(max_retries=0)`"""
    config = ProcessorConfig(max_workers=8)
    chat = Chat()
    async with ParallelBatchProcessor(config=config) as processor:
        for row in rows:
            await processor.add_work(LLMWorkItem(item_id=row, strategy=chat, prompt=row))
        done = await processor.process_all()
    results = {result.item_id: result for result in done.results}
    return [
        results[row].output if results[row].success else RuntimeError(str(results[row].error)) for row in rows
    ]
