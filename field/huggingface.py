"""huggingface_hub: its inference client."""

from huggingface_hub import AsyncInferenceClient, InferenceClient

from field.each import in_tasks, in_threads, messages

PACKAGES = ("huggingface_hub",)


def run_sync(rows):
    """`InferenceClient(base_url=…).chat_completion`, eight threads"""
    client = InferenceClient(base_url="https://router.huggingface.co/v1", api_key="hf_key")
    return in_threads(lambda row: client.chat_completion(messages(row)).choices[0].message.content, rows)


async def run_async(rows):
    """`AsyncInferenceClient(base_url=…).chat_completion`, eight tasks"""
    client = AsyncInferenceClient(base_url="https://router.huggingface.co/v1", api_key="hf_key")

    async def ask(row):
        return (await client.chat_completion(messages(row))).choices[0].message.content

    return await in_tasks(ask, rows)
