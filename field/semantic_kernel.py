"""semantic-kernel: a prompt function of a kernel."""

from semantic_kernel import Kernel
from semantic_kernel.connectors.ai.open_ai import OpenAIChatCompletion

from field.each import in_tasks

PACKAGES = ("semantic-kernel", "openai")


async def run_prompts(rows):
    """`Kernel.invoke_prompt`, eight tasks"""
    kernel = Kernel()
    kernel.add_service(OpenAIChatCompletion(ai_model_id="gpt-4o-mini"))

    async def ask(row):
        return str(await kernel.invoke_prompt(f"Summarise {row}"))

    return await in_tasks(ask, rows)
