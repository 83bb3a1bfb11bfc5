"""What tests of batches share: input files, and clients that wait for a batch."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

import anyio

from wavetank import Run, Scenario, Tank
from wavetank.scenario import scenario_from_dict

MODEL: Final = "gpt-5"
PATH: Final = "/v1/chat/completions"
ENDED: Final = ("completed", "failed", "expired", "cancelled")


def scenario(**batch: Any) -> Scenario:
    """A scenario with these rules for batches: one minute of validation, ten of processing."""
    usual = {"validating": "1m", "processing": "10m", "finalizing": "0s"}
    return scenario_from_dict({"batch": usual | batch}, name="batches", source="the test")


def chat_line(ident: str | None, **changes: Any) -> dict[str, Any]:
    """One line of an input file of OpenAI's."""
    body = {"model": MODEL, "messages": [{"role": "user", "content": f"Do {ident}."}]}
    line = {"custom_id": ident, "method": "POST", "url": PATH, "body": body} | changes
    return {name: value for name, value in line.items() if value is not None}


def json_lines(lines: list[dict[str, Any]]) -> bytes:
    """Lines as a file."""
    return b"".join(json.dumps(line).encode() + b"\n" for line in lines)


def chat_lines(items: list[str]) -> bytes:
    """An input file of OpenAI's with a line for each item."""
    return json_lines([chat_line(item) for item in items])


async def uploaded(client: Any, data: bytes) -> str:
    """The id of an input file that has been uploaded with OpenAI's SDK."""
    return str((await client.files.create(file=("input.jsonl", data), purpose="batch")).id)


async def begun(client: Any, data: bytes, **options: Any) -> Any:
    """A batch of an input file, made with OpenAI's SDK."""
    wanted = {"endpoint": PATH, "completion_window": "24h"} | options
    return await client.batches.create(input_file_id=await uploaded(client, data), **wanted)


async def ended(client: Any, batch: Any, *, every: float = 60) -> Any:
    """The batch once it has ended, polled with OpenAI's SDK."""
    while batch.status not in ENDED:
        await anyio.sleep(every)
        batch = await client.batches.retrieve(batch.id)
    return batch


async def results(client: Any, file: str | None) -> list[dict[str, Any]]:
    """The lines of a file of results; none if there is no file."""
    if file is None:
        return []
    return [json.loads(line) for line in (await client.files.content(file)).text.splitlines()]


def text_of(result: Mapping[str, Any]) -> str:
    """The text of the answer in one line of OpenAI's results."""
    return str(result["response"]["body"]["choices"][0]["message"]["content"])


def value_of(run: Run[Any]) -> Any:
    """What the program returned; its error is raised."""
    if run.error is not None:
        raise run.error
    return run.value


def submitted(tank: Tank, count: int = 4) -> list[str]:
    """Items in the ledger."""
    items = [f"row-{number}" for number in range(1, count + 1)]
    for item in items:
        tank.ledger.submit(item)
    return items


def with_client(
    main: Callable[[Tank, Any], Awaitable[Any]],
) -> Callable[[Tank], Awaitable[Any]]:
    """A program that is given a client of OpenAI's SDK."""
    import openai

    async def program(tank: Tank) -> Any:
        async with openai.AsyncOpenAI(api_key="fake", max_retries=0) as client:
            return await main(tank, client)

    return program
