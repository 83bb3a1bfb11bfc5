"""Six bugs of programs that use batch APIs, each a small program with its correct twin.

They are labelled as the specimens of the museum are, and speak to OpenAI's API over httpx.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

import anyio

from wavetank import Tank
from wavetank.museum import Specimen
from wavetank.museum.specimen import specimen
from wavetank.scenario import Scenario, scenario_from_dict

_URL: Final = "https://api.openai.com/v1"
_PATH: Final = "/v1/chat/completions"
_ENDED: Final = ("completed", "failed", "expired", "cancelled")
_PATIENCE: Final = 15
"""Polls, one a minute, after which a batch is taken for lost."""


def _scenario(name: str, **batch: Any) -> Scenario:
    return scenario_from_dict({"batch": batch}, name=name, source=f"scenario {name!r}")


USUAL: Final = _scenario("usual-batches")
SLOW: Final = _scenario("slow-batches", processing="10m..40m")
EXPIRING: Final = _scenario("expiring-lines", expires="25m", fault=[{"kind": "expires", "times": 2}])
FAILING: Final = _scenario("failing-lines", fault=[{"kind": "fails", "times": 2}])


@asynccontextmanager
async def _client(tank: Tank) -> AsyncIterator[Any]:
    import httpx

    transport = tank.fake_llm.httpx_transport()
    headers = {"authorization": "Bearer fake-key"}
    async with httpx.AsyncClient(transport=transport, headers=headers, base_url=_URL) as client:
        yield client


async def _begin(client: Any, lines: dict[str, str]) -> str:
    """Make a batch of prompts by their custom ids, and return its id."""
    return await _begin_lines(client, list(lines.items()))


async def _begin_lines(client: Any, lines: list[tuple[str, str]]) -> str:
    written = [
        {
            "custom_id": ident,
            "method": "POST",
            "url": _PATH,
            "body": {"model": "gpt-4o", "messages": [{"role": "user", "content": prompt}]},
        }
        for ident, prompt in lines
    ]
    content = "\n".join(map(json.dumps, written)).encode()
    form = {"file": ("input.jsonl", content)}
    file = (await client.post("/files", data={"purpose": "batch"}, files=form)).json()
    wanted = {"input_file_id": file["id"], "endpoint": _PATH, "completion_window": "24h"}
    return str((await client.post("/batches", json=wanted)).json()["id"])


async def _poll(client: Any, ident: str, *, most: int | None = None) -> dict[str, Any]:
    """The batch once it has ended, or after so many polls."""
    polls = 0
    while True:
        batch: dict[str, Any] = (await client.get(f"/batches/{ident}")).json()
        polls += 1
        if batch["status"] in _ENDED or polls == most:
            return batch
        await anyio.sleep(60)


async def _lines(client: Any, file: str | None) -> list[dict[str, Any]]:
    if file is None:
        return []
    text = (await client.get(f"/files/{file}/content")).text
    return [json.loads(line) for line in text.splitlines()]


def _text(line: dict[str, Any]) -> str:
    return str(line["response"]["body"]["choices"][0]["message"]["content"])


def _prompts(items: list[str]) -> dict[str, str]:
    return {item: f"Do {item}." for item in items}


async def _answers(client: Any, batch: dict[str, Any]) -> dict[str, str]:
    return {line["custom_id"]: _text(line) for line in await _lines(client, batch["output_file_id"])}


# -- the programs ------------------------------------------------------------------------------------


async def _read(tank: Tank, items: list[str], by_position: bool) -> None:
    async with _client(tank) as client:
        batch = await _poll(client, await _begin(client, _prompts(items)))
        for place, line in enumerate(await _lines(client, batch["output_file_id"])):
            tank.ledger.complete(items[place] if by_position else line["custom_id"], _text(line))


async def _collect(tank: Tank, items: list[str], drops_expired: bool) -> None:
    left = items
    async with _client(tank) as client:
        while left:
            batch = await _poll(client, await _begin(client, _prompts(left)))
            answers = await _answers(client, batch)
            for item, text in answers.items():
                tank.ledger.complete(item, text)
            left = [] if drops_expired else [item for item in left if item not in answers]


async def _wait(tank: Tank, items: list[str], minutes: int | None) -> None:
    async with _client(tank) as client:
        ident = await _begin(client, _prompts(items))
        if minutes is None:
            batch = await _poll(client, ident)
        else:
            await anyio.sleep(minutes * 60)
            batch = await _poll(client, ident, most=1)
        answers = await _answers(client, batch)
        for item in items:
            tank.ledger.complete(item, answers.get(item, ""))


async def _insist(tank: Tank, items: list[str], patience: int | None) -> None:
    async with _client(tank) as client:
        while True:
            batch = await _poll(client, await _begin(client, _prompts(items)), most=patience)
            if batch["status"] == "completed":
                break
        for item, text in (await _answers(client, batch)).items():
            tank.ledger.complete(item, text)


async def _report(tank: Tank, items: list[str], reads_errors: bool) -> None:
    async with _client(tank) as client:
        batch = await _poll(client, await _begin(client, _prompts(items)))
        answers = await _answers(client, batch)
        failed = await _lines(client, batch["error_file_id"]) if reads_errors else []
        errors = {line["custom_id"]: line["response"]["body"]["error"]["message"] for line in failed}
        for item in items:
            if item in errors:
                tank.ledger.fail(item, RuntimeError(errors[item]))
            else:
                tank.ledger.complete(item, answers.get(item, "no answer"))


async def _name(tank: Tank, items: list[str], shortest: int) -> None:
    """Name each line by the beginning of its item, as long as that is long enough."""
    lines = [(item[:shortest], f"Do {item}.") for item in items]
    async with _client(tank) as client:
        batch = await _poll(client, await _begin_lines(client, lines))
        answers = await _answers(client, batch)
        for item in items:
            if item[:shortest] in answers:
                tank.ledger.complete(item, answers[item[:shortest]])


def _labelled(**label: Any) -> Specimen:
    return specimen(failure="check", seen="programs of users of batch APIs", row="batches", **label)


SPECIMENS: Final = {
    each.name: each
    for each in (
        _labelled(
            name="results_by_position",
            kind="W",
            story="The n-th result is taken for that of the n-th line; the file of results is in no order.",
            run=_read,
            variants=(True, False),
            scenario=USUAL,
            check="right_answer",
            items=6,
        ),
        _labelled(
            name="expired_lines_dropped",
            kind="D",
            story="Only the file of results is read, and lines that have expired are in the other one.",
            run=_collect,
            variants=(True, False),
            scenario=EXPIRING,
            check="exactly_once",
            items=6,
        ),
        _labelled(
            name="polled_before_complete",
            kind="W",
            story="The results are read after a fixed time; where there are none yet, the text is empty.",
            run=_wait,
            variants=(10, None),
            scenario=USUAL,
            check="answered",
            items=4,
        ),
        _labelled(
            name="resubmitted_after_a_timeout",
            kind="D",
            story="A batch that takes long is sent again, while the first one is worked off and paid.",
            run=_insist,
            variants=(_PATIENCE, None),
            scenario=SLOW,
            check="exactly_once",
            items=4,
        ),
        _labelled(
            name="error_file_ignored",
            kind="W",
            story="Lines that failed are in another file; without it they get a text of the program's.",
            run=_report,
            variants=(False, True),
            scenario=FAILING,
            check="answered",
            items=6,
        ),
        _labelled(
            name="duplicate_custom_id",
            kind="D",
            story="Lines are named by too little of their items: the batch fails, and nobody looks why.",
            run=_name,
            variants=(4, 6),
            scenario=USUAL,
            check="exactly_once",
            items=4,
        ),
    )
}
"""The specimens by name."""
