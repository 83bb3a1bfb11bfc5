"""voyageai: its embeddings."""

import voyageai

from field.each import in_tasks, in_threads

PACKAGES = ("voyageai",)


def run_sync(rows):
    """`Client(max_retries=6).embed`, eight threads"""
    client = voyageai.Client(max_retries=6)
    return in_threads(lambda row: client.embed([row], model="voyage-3.5").embeddings[0][0], rows)


async def run_async(rows):
    """`AsyncClient(max_retries=6).embed`, eight tasks"""
    client = voyageai.AsyncClient(max_retries=6)

    async def ask(row):
        return (await client.embed([row], model="voyage-3.5")).embeddings[0][0]

    return await in_tasks(ask, rows)
