"""The shared gate over HTTP: httpx2 at the provider's real URL, and its refusals as errors."""

from __future__ import annotations

import time
from email.utils import parsedate_to_datetime

import httpx2

from wavetank import ProviderError, Tank

from .shared_gate import process

URL = "https://api.openai.com/v1/chat/completions"


def seconds_in(wait: str) -> float | None:
    """A Retry-After in seconds: a number or a date."""
    if not wait.endswith("GMT"):
        return float(wait) if wait else None
    return parsedate_to_datetime(wait).timestamp() - time.time()


async def main(tank: Tank) -> None:
    """Twenty-eight items behind the same gate."""
    async with httpx2.AsyncClient(headers={"authorization": "Bearer key"}, timeout=60) as client:

        async def ask(item: str) -> str:
            try:
                response = await client.post(
                    URL,
                    headers={"x-wavetank-item": item},
                    json={"model": "gpt-4o", "messages": [{"role": "user", "content": f"Do {item}."}]},
                )
                if response.is_success:
                    return str(response.json()["choices"][0]["message"]["content"])
            except (httpx2.TransportError, ValueError, LookupError) as error:
                raise ProviderError(f"no answer: {error}", status=0) from error
            wait = seconds_in(response.headers.get("retry-after", ""))
            raise ProviderError(response.text, status=response.status_code, retry_after=wait)

        await process(tank, ask, count=28)
