"""Checks across batches: what is paid, whose answer it is, and whether it was fetched."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import anyio
import httpx
import pytest

import wavetank
from wavetank import Run, Scenario, Tank
from wavetank.checks import judge
from wavetank.events import EventLog
from wavetank.provider.wire_formats import json_bytes
from wavetank.scenario import scenario_from_dict

URL = "https://api.openai.com/v1"
PATH = "/v1/chat/completions"
ROWS = ["row-1", "row-2", "row-3", "row-4"]


class Client:
    """A few calls of OpenAI's API for batches."""

    def __init__(self, http: httpx.AsyncClient) -> None:
        self.http = http

    async def begin(self, rows: list[str]) -> str:
        """Upload a file with a line for each row, and make a batch of it."""
        lines = b"\n".join(json_bytes(line(row)) for row in rows)
        form = {"file": ("input.jsonl", lines)}
        file = (await self.http.post("/files", data={"purpose": "batch"}, files=form)).json()
        wanted = {"input_file_id": file["id"], "endpoint": PATH, "completion_window": "24h"}
        return str((await self.http.post("/batches", json=wanted)).json()["id"])

    async def end(self, ident: str) -> dict[str, Any]:
        """The batch once it has ended."""
        while True:
            batch: dict[str, Any] = (await self.http.get(f"/batches/{ident}")).json()
            if batch["status"] in ("completed", "failed", "expired", "cancelled"):
                return batch
            await anyio.sleep(60)

    async def fetch(self, batch: dict[str, Any]) -> dict[str, str]:
        """The answers in its file of results, by row."""
        if batch["output_file_id"] is None:
            return {}
        text = (await self.http.get(f"/files/{batch['output_file_id']}/content")).text
        found = map(httpx.Response.json, [httpx.Response(200, text=one) for one in text.splitlines()])
        return {
            one["custom_id"]: one["response"]["body"]["choices"][0]["message"]["content"] for one in found
        }


def line(row: str) -> dict[str, Any]:
    """The line of a row."""
    body = {"model": "gpt-5", "messages": [{"role": "user", "content": f"Do {row}."}]}
    return {"custom_id": row, "method": "POST", "url": PATH, "body": body}


def played(
    work: Callable[[Tank, Client], Awaitable[Any]], tables: dict[str, Any] | None = None, **options: Any
) -> Run[Any]:
    """A run of a program with the rows in its ledger, judged by all checks."""
    batch = {"validating": "1m", "processing": "4m", "finalizing": "0s", "cancelling": "0s"}
    scenario: Scenario = scenario_from_dict(
        {"batch": batch, **(tables or {})}, name="batches", source="the test"
    )

    async def main(tank: Tank) -> Any:
        for row in ROWS:
            tank.ledger.submit(row)
        transport = tank.fake_llm.httpx_transport()
        async with httpx.AsyncClient(
            transport=transport, base_url=URL, headers={"authorization": "Bearer fake"}
        ) as http:
            return await work(tank, Client(http))

    run = wavetank.simulate(main, scenario, **options)
    assert run.error is None, run.error
    return run


def completed(tank: Tank, answers: dict[str, str]) -> None:
    """Report what each row was answered."""
    for row, text in answers.items():
        tank.ledger.complete(row, text)


def failed(run: Run[Any]) -> dict[str, str]:
    """What the checks found."""
    return {name: verdict.summary for name, verdict in run.verdicts.items() if verdict.passed is False}


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_batch_done_right_passes(backend: str) -> None:
    """Every item once, with its own answer; also read back from the bytes of the log, by every check."""

    async def work(tank: Tank, client: Client) -> None:
        tank.expect(in_flight=1, requests_per_minute=60, burst=3, requests_per_item=1)
        completed(tank, await client.fetch(await client.end(await client.begin(ROWS))))

    run = played(work, backend=backend)
    run.check()
    judged = ("exactly_once", "right_answer", "answered")
    assert [run.verdicts[name].passed for name in judged] == [True] * 3
    every = judge(EventLog.from_ndjson(run.events.to_ndjson()), tuple(wavetank.checks.CHECKS))
    assert [name for name, verdict in every.items() if verdict.passed is False] == []


def test_an_item_in_two_batches_is_paid_twice() -> None:
    """Also when the results of one of them are never fetched."""

    async def work(tank: Tank, client: Client) -> None:
        first = await client.begin(ROWS)
        second = await client.begin(["row-1"])
        await client.end(second)
        completed(tank, await client.fetch(await client.end(first)))

    run = played(work)
    assert failed(run) == {"exactly_once": "item 'row-1' was paid 2 times (declared: 1)"}
    told = "\n".join(run.verdicts["exactly_once"].evidence)
    assert "was answered in batch_" in told
    assert "was fetched" in told


def test_an_item_in_a_batch_and_alone_is_paid_twice() -> None:
    """A request of its own is paid when it is delivered, a line when it is answered."""

    async def work(tank: Tank, client: Client) -> None:
        ident = await client.begin(ROWS)
        headers = {"x-wavetank-item": "row-1"}
        await client.http.post("/chat/completions", json=line("row-1")["body"], headers=headers)
        completed(tank, await client.fetch(await client.end(ident)))

    assert failed(played(work)) == {"exactly_once": "item 'row-1' was paid 2 times (declared: 1)"}


def test_what_is_declared_may_be_paid_twice() -> None:
    """`paid_per_item` counts lines of batches, too."""

    async def work(tank: Tank, client: Client) -> None:
        tank.expect(paid_per_item=2)
        await client.end(await client.begin(ROWS))
        completed(tank, await client.fetch(await client.end(await client.begin(ROWS))))

    played(work).check()


def test_a_batch_that_is_cancelled_in_time_costs_nothing() -> None:
    """Lines that were not reached are not paid, so they may be sent again."""

    async def work(tank: Tank, client: Client) -> None:
        ident = await client.begin(ROWS)
        await anyio.sleep(30)
        await client.http.post(f"/batches/{ident}/cancel")
        completed(tank, await client.fetch(await client.end(await client.begin(ROWS))))

    played(work).check()


def test_a_batch_that_is_cancelled_late_is_paid_in_part() -> None:
    """Who sends only what is left is right; who sends all of it again pays twice."""

    async def half_done(client: Client) -> dict[str, str]:
        ident = await client.begin(ROWS)
        await anyio.sleep(60 + 130)
        await client.http.post(f"/batches/{ident}/cancel")
        return await client.fetch(await client.end(ident))

    async def careful(tank: Tank, client: Client) -> None:
        done = await half_done(client)
        assert len(done) == 2
        left = [row for row in ROWS if row not in done]
        completed(tank, done | await client.fetch(await client.end(await client.begin(left))))

    async def careless(tank: Tank, client: Client) -> None:
        await half_done(client)
        completed(tank, await client.fetch(await client.end(await client.begin(ROWS))))

    played(careful).check()
    assert list(failed(played(careless))) == ["exactly_once"]


def test_what_was_never_fetched_is_no_answer() -> None:
    """An item that is completed before the results are there was not answered."""

    async def work(tank: Tank, client: Client) -> None:
        await client.begin(ROWS)
        await anyio.sleep(90)
        completed(tank, dict.fromkeys(ROWS, ""))

    assert list(failed(played(work))) == ["answered"]


def test_a_line_that_failed_is_no_answer() -> None:
    """It is not paid, and its item may be sent again."""

    async def gives_up(tank: Tank, client: Client) -> None:
        answers = await client.fetch(await client.end(await client.begin(ROWS)))
        completed(tank, dict.fromkeys(ROWS, "") | answers)

    async def sends_again(tank: Tank, client: Client) -> None:
        answers: dict[str, str] = {}
        while left := [row for row in ROWS if row not in answers]:
            answers |= await client.fetch(await client.end(await client.begin(left)))
        completed(tank, answers)

    for kind in ("fails", "missing", "expires"):
        tables = {"batch": {"fault": [{"kind": kind, "times": 2}], "expires": "1h"}}
        assert list(failed(played(gives_up, tables))) == ["answered"]
        played(sends_again, tables).check()


def test_results_that_are_read_twice_are_paid_once() -> None:
    """A download costs nothing, and one that breaks off is repeated."""

    async def work(tank: Tank, client: Client) -> None:
        batch = await client.end(await client.begin(ROWS))
        with pytest.raises(httpx.RemoteProtocolError):
            await client.fetch(batch)
        await client.fetch(batch)
        completed(tank, await client.fetch(batch))

    fault = {"kind": "length-too-long", "match": {"path": "/v1/files/*/content"}}
    run = played(work, {"fault": [fault]})
    run.check()
    assert len([event for event in run.events.of("delivered") if event.batch]) == 4


def test_a_download_that_breaks_off_delivers_nothing() -> None:
    """What a client makes of half a file of results is no answer."""

    async def work(tank: Tank, client: Client) -> None:
        batch = await client.end(await client.begin(ROWS))
        with pytest.raises(httpx.RemoteProtocolError):
            await client.fetch(batch)
        completed(tank, dict.fromkeys(ROWS, "half"))

    fault = {"kind": "length-too-long", "match": {"path": "/v1/files/*/content"}}
    assert list(failed(played(work, {"fault": [fault]}))) == ["answered"]


def test_answers_of_other_lines_are_swapped() -> None:
    """A value of another row's line is the wrong answer."""

    async def work(tank: Tank, client: Client) -> None:
        answers = await client.fetch(await client.end(await client.begin(ROWS)))
        completed(tank, dict(zip(ROWS, reversed([answers[row] for row in ROWS]), strict=True)))

    assert list(failed(played(work))) == ["right_answer"]


def test_items_in_batches_do_not_starve() -> None:
    """Hundreds of outcomes come at a time, and lines that failed are sent again after that."""

    async def work(tank: Tank, client: Client) -> None:
        rows = [f"item-{number}" for number in range(300)]
        for row in rows:
            tank.ledger.submit(row)
        left = [*ROWS, *rows]
        while left:
            answers = await client.fetch(await client.end(await client.begin(left)))
            completed(tank, answers)
            left = [row for row in left if row not in answers]

    tables = {"batch": {"fault": [{"kind": "fails", "times": 20}]}}
    played(work, tables, checks=("default", "strict")).check()


def test_refusals_of_polls_are_heeded_alone() -> None:
    """A poll that is refused says nothing of items; batches beside a wave pass the strict checks."""

    async def work(tank: Tank, client: Client) -> None:
        ident = await client.begin(ROWS)
        refused = 0
        while (reply := await client.http.get(f"/batches/{ident}")).status_code == 429:
            refused += 1
            await anyio.sleep(float(reply.headers["retry-after"]))
        assert refused == 1
        completed(tank, await client.fetch(await client.end(ident)))

    wave = {"at": "0s", "lasts": "10s", "match": {"path": "/v1/batches/*"}}
    played(work, {"wave": [wave]}, checks=("default", "strict", "exercised")).check()


def test_exactly_these_items_were_answered() -> None:
    """`fake_llm.check` without a ledger counts lines that were fetched."""

    async def main(tank: Tank) -> None:
        transport = tank.fake_llm.httpx_transport()
        async with httpx.AsyncClient(
            transport=transport, base_url=URL, headers={"authorization": "Bearer fake"}
        ) as http:
            client = Client(http)
            batch = await client.end(await client.begin(ROWS))
            with pytest.raises(wavetank.CheckFailed, match="got no answer"):
                tank.fake_llm.check(exactly_once=ROWS)
            await client.fetch(batch)
            tank.fake_llm.check(exactly_once=ROWS)

    wavetank.simulate(main, checks=()).check()


def test_the_story_of_a_line_is_told() -> None:
    """Reports say in which batch a line began, and how it ended."""
    from wavetank.checks.history import history

    async def work(tank: Tank, client: Client) -> None:
        batch = await client.end(await client.begin(ROWS))
        completed(tank, await client.fetch(batch))
        tank.ledger.fail("row-1", RuntimeError("no result"))

    tables = {"batch": {"fault": [{"kind": "missing", "match": {"item": "row-1"}}]}}
    run = played(work, tables)
    lines = "\n".join(history(run.events, "row-1"))
    assert "request 3 began in batch_" in lines
    assert "request 3 got no result in batch_" in lines
