"""Requests over HTTP for specimens that read the body of an answer themselves."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from ..tank.tank import Tank

_URL = "https://api.openai.com/v1/chat/completions"


@asynccontextmanager
async def client_of(tank: Tank) -> AsyncIterator[Any]:
    """A client of httpx whose requests the fake answers."""
    import httpx

    async with httpx.AsyncClient(transport=tank.fake_llm.httpx_transport()) as client:
        yield client


async def body_of(client: Any, item: str, *, stream: bool = False) -> str:
    """The whole body of the answer to one request for the item."""
    body = {"model": "gpt-4o", "stream": stream, "messages": [{"role": "user", "content": f"Do {item}."}]}
    headers = {"authorization": "Bearer fake-key", "x-wavetank-item": item}
    reply = await client.post(_URL, json=body, headers=headers)
    return str(reply.text)


async def ask_until_read(
    tank: Tank, items: list[str], read: Callable[[str], str | None], *, stream: bool = False
) -> None:
    """Ask for one item after the other, each until `read` returns a text for the body."""
    async with client_of(tank) as client:
        for item in items:
            text = None
            while text is None:
                text = read(await body_of(client, item, stream=stream))
            tank.ledger.complete(item, text)


def ask_plainly(tank: Tank, item: str) -> str:
    """The text of the answer to one request for the item, by a client that blocks its thread."""
    import httpx

    body = {"model": "gpt-4o", "messages": [{"role": "user", "content": f"Do {item}."}]}
    headers = {"authorization": "Bearer fake-key", "x-wavetank-item": item}
    with httpx.Client(transport=tank.fake_llm.httpx_transport(), trust_env=False) as client:
        reply = client.post(_URL, json=body, headers=headers)
    return str(reply.json()["choices"][0]["message"]["content"])
