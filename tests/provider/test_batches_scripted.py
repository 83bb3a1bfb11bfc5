"""What a scenario says of batches: how long they take, which lines fail, and whom waves meet."""

from __future__ import annotations

import time
from typing import Any

import anyio
import pytest

import wavetank
from wavetank import Answer, Scenario, Tank
from wavetank.clock import DAY
from wavetank.scenario import ScenarioError, scenario_from_dict

from .batch_clients import (
    begun,
    chat_line,
    chat_lines,
    ended,
    json_lines,
    results,
    scenario,
    submitted,
    text_of,
    uploaded,
    value_of,
    with_client,
)

ROWS = [f"row-{number}" for number in range(1, 9)]


def outcome(
    tables: Scenario, rows: list[str] | None = None, **options: Any
) -> tuple[Any, list[Any], list[Any]]:
    """A batch of the rows that has ended, its results and its errors."""

    async def main(_: Tank, client: Any) -> tuple[Any, list[Any], list[Any]]:
        batch = await ended(client, await begun(client, chat_lines(rows or ROWS)), every=600)
        good = await results(client, batch.output_file_id)
        return batch, good, await results(client, batch.error_file_id)

    found: tuple[Any, list[Any], list[Any]] = value_of(
        wavetank.simulate(with_client(main), tables, checks=(), **options)
    )
    return found


def ids(lines: list[Any]) -> list[str]:
    """The ids of lines of results."""
    return [line["custom_id"] for line in lines]


def test_results_are_out_of_order_unless_the_scenario_says_so() -> None:
    """The order is the seed's; with `order = "input"` it is that of the file."""
    _, shuffled, _ = outcome(scenario())
    assert ids(shuffled) != ROWS
    assert sorted(ids(shuffled)) == ROWS
    assert ids(outcome(scenario())[1]) == ids(shuffled)
    assert ids(outcome(scenario(), seed=1)[1]) != ids(shuffled)
    assert ids(outcome(scenario(order="input"))[1]) == ROWS


def test_what_is_not_done_in_a_day_expires() -> None:
    """Of 32 hours' work three quarters are done in 24; the rest is in the file of errors."""
    batch, good, bad = outcome(scenario(validating="0s", processing="32h"))
    assert (batch.status, len(good), len(bad)) == ("expired", 6, 2)
    assert batch.request_counts.to_dict() == {"total": 8, "completed": 6, "failed": 2}
    assert batch.expired_at - batch.created_at == 86_400
    assert batch.completed_at is None
    assert {line["error"]["code"] for line in bad} == {"batch_expired"}
    assert [line["response"] for line in bad] == [None, None]


def test_a_scenario_may_let_batches_expire_sooner() -> None:
    """`expires` replaces the vendor's own time."""
    batch, good, bad = outcome(scenario(validating="0s", processing="80m", expires="25m"))
    assert (batch.status, len(good), len(bad)) == ("expired", 2, 6)
    assert batch.expires_at - batch.created_at == 25 * 60


def test_lines_fail_are_missing_and_expire() -> None:
    """Each in its way: an error with its status, nothing at all, or out of time."""
    faults = [
        {"kind": "fails", "error": "rate-limit", "match": {"item": "row-1"}},
        {"kind": "fails", "match": {"item": "row-2"}},
        {"kind": "missing", "match": {"item": "row-3"}},
        {"kind": "expires", "times": 1},
    ]
    batch, good, bad = outcome(scenario(fault=faults, order="input"))
    assert ids(good) == ROWS[4:]
    found = {line["custom_id"]: line for line in bad}
    assert sorted(found) == ["row-1", "row-2", "row-4"]
    assert found["row-1"]["response"]["status_code"] == 429
    assert found["row-1"]["response"]["body"]["error"]["code"] == "rate_limit_exceeded"
    assert found["row-2"]["response"]["status_code"] == 500
    assert found["row-4"]["error"]["code"] == "batch_expired"
    assert batch.status == "expired"
    assert batch.request_counts.to_dict() == {"total": 8, "completed": 4, "failed": 3}


def test_a_share_of_the_lines_fails() -> None:
    """The seed decides which; sent again, a line is drawn again."""
    rows = [f"row-{number}" for number in range(200)]
    _, good, bad = outcome(scenario(fault=[{"kind": "fails", "share": 0.3}]), rows)
    assert 40 <= len(bad) <= 80
    assert len(good) + len(bad) == 200


def test_a_batch_whose_lines_all_fail_has_no_output() -> None:
    """It is completed all the same, and only the file of errors is there."""
    batch, good, bad = outcome(scenario(fault=[{"kind": "fails"}]))
    assert (batch.status, batch.output_file_id, good, len(bad)) == ("completed", None, [], 8)


@pytest.mark.parametrize("at", [0, 30, 60 + 300])
def test_a_cancelled_batch_has_what_was_done(at: int) -> None:
    """Lines that were done have their answers, the others an error; the cancellation takes its time."""

    async def main(_: Tank, client: Any) -> tuple[list[str], int, list[Any]]:
        batch = await begun(client, chat_lines(ROWS))
        await anyio.sleep(at)
        batch = await client.batches.cancel(batch.id)
        seen = [batch.status]
        batch = await ended(client, batch, every=10)
        seen.append(batch.status)
        assert batch.cancelled_at - batch.cancelling_at == 20
        done = await results(client, batch.output_file_id)
        return seen, len(done), await results(client, batch.error_file_id)

    run = wavetank.simulate(with_client(main), scenario(cancelling="20s"))
    assert run.value is not None
    seen, done, bad = run.value
    assert seen == ["cancelling", "cancelled"]
    assert (done, len(bad)) == ((4, 4) if at else (0, 8)) if at != 30 else (0, 8)
    assert {line["error"]["code"] for line in bad} == {"batch_cancelled"}


def test_a_full_queue_fails_the_batch() -> None:
    """At OpenAI the batch fails with the limit in its error; there is room again when the first is done."""

    async def main(_: Tank, client: Any) -> list[Any]:
        first = await begun(client, chat_lines(ROWS))
        second = await ended(client, await begun(client, chat_lines(ROWS)))
        await ended(client, first)
        third = await ended(client, await begun(client, chat_lines(ROWS)))
        return [second, third]

    second, third = value_of(wavetank.simulate(with_client(main), scenario(enqueued_tokens=40)))
    assert (second.status, third.status) == ("failed", "completed")
    error = second.errors.data[0]
    assert (error.code, error.line) == ("token_limit_exceeded", None)
    assert error.message == (
        "Enqueued token limit reached for gpt-5 in organization org-wavetank. Limit: 40 enqueued tokens. "
        "Please try again once some in_progress batches have been completed."
    )


def test_a_full_queue_is_a_429_elsewhere() -> None:
    """Anthropic, Gemini and Mistral refuse the request that makes the batch."""
    import anthropic
    from google import genai
    from mistralai.client import Mistral
    from mistralai.client.errors import SDKError

    message = {"role": "user", "content": "a long prompt"}

    async def main(_: Tank) -> list[int | None]:
        client = anthropic.AsyncAnthropic(api_key="fake", max_retries=0)
        params: Any = {"model": "claude-sonnet-5-5", "max_tokens": 10, "messages": [message]}
        with pytest.raises(anthropic.RateLimitError) as first:
            await client.messages.batches.create(requests=[{"custom_id": "a", "params": params}])
        gemini: Any = genai.Client(api_key="fake").aio
        with pytest.raises(genai.errors.ClientError) as second:
            await gemini.batches.create(
                model="gemini-2.5-flash", src=[{"contents": [{"parts": [{"text": "a long prompt"}]}]}]
            )
        mistral: Any = Mistral(api_key="fake")
        with pytest.raises(SDKError) as third:
            await mistral.batch.jobs.create_async(
                model="mistral-small-latest",
                endpoint="/v1/chat/completions",
                requests=[{"body": {"messages": [message]}}],
            )
        return [first.value.status_code, second.value.code, third.value.status_code]

    with pytest.warns(DeprecationWarning, match="AiohttpClientSession"):
        run = wavetank.simulate(main, scenario(enqueued_tokens=1))
    run.check()
    assert run.value == [429, 429, 429]


def test_a_gemini_job_that_is_late_has_no_results() -> None:
    """After 48 hours it has expired as a whole, and nothing is paid."""
    import httpx

    url = "https://generativelanguage.googleapis.com/v1beta"

    async def main(tank: Tank) -> tuple[str, bool]:
        headers = {"x-goog-api-key": "fake"}
        requests = [{"request": {"contents": [{"parts": [{"text": "Hi"}]}]}, "metadata": {"key": "row-1"}}]
        body = {"batch": {"input_config": {"requests": {"requests": requests}}}}
        async with httpx.AsyncClient(
            transport=tank.fake_llm.httpx_transport(), headers=headers, base_url=url
        ) as http:
            made = (await http.post("/models/gemini-2.5-flash:batchGenerateContent", json=body)).json()
            await anyio.sleep(2 * DAY // 10**9)
            operation = (await http.get(f"/{made['name']}")).json()
        return operation["metadata"]["state"], "response" in operation

    run = wavetank.simulate(main, scenario(processing="49h", validating="0s"))
    run.check()
    assert run.value == ("BATCH_STATE_EXPIRED", False)
    assert [event.reason for event in run.events.of("left")] == ["expired"]


# -- waves and faults --------------------------------------------------------------------------------


def with_tables(**tables: Any) -> Scenario:
    """A scenario with a quick batch and these tables."""
    batch = {"validating": "1m", "processing": "10m", "finalizing": "0s"}
    return scenario_from_dict({"batch": batch, **tables}, name="batches", source="the test")


WAVE = {"at": "30s", "lasts": "5m", "retry_after": "none"}


@pytest.mark.parametrize(
    ("path", "polls", "chats"),
    [
        ("/v1/batches*", True, False),
        ("/v1/chat/*", False, True),
        ("*", True, True),
        ("/v1/files", False, False),
    ],
)
def test_waves_are_aimed_by_path(path: str, polls: bool, chats: bool) -> None:
    """`match.path` aims a wave at the polling alone, or spares it."""
    import openai

    async def main(_: Tank, client: Any) -> tuple[bool, bool]:
        batch = await begun(client, chat_lines(ROWS))
        await anyio.sleep(60)
        refused = []
        for call in (
            client.batches.retrieve(batch.id),
            client.chat.completions.create(model="gpt-5", messages=[{"role": "user", "content": "Hi"}]),
        ):
            try:
                await call
                refused.append(False)
            except openai.RateLimitError:
                refused.append(True)
        return refused[0], refused[1]

    run = wavetank.simulate(with_client(main), with_tables(wave=[WAVE | {"match": {"path": path}}]))
    assert run.value == (polls, chats)


def test_a_wave_of_polls_speaks_for_no_other_request() -> None:
    """Its refusals are about its path: whoever goes on with chat heeds them still."""
    import openai

    async def main(_: Tank, client: Any) -> None:
        batch = await begun(client, chat_lines(ROWS))
        await anyio.sleep(60)
        with pytest.raises(openai.RateLimitError, match="Rate limit reached in organization"):
            await client.batches.retrieve(batch.id)
        await client.chat.completions.create(model="gpt-5", messages=[{"role": "user", "content": "Hi"}])

    wave = WAVE | {"match": {"path": "/v1/batches*"}, "retry_after": "1m"}
    run = wavetank.simulate(
        with_client(main), with_tables(wave=[wave]), checks=("shared_pause", "retry_after")
    )
    run.check()
    assert [event.scope for event in run.events.of("refused")] == ["path:/v1/batches*"]


def test_a_batch_whose_creation_is_not_answered_is_there_all_the_same() -> None:
    """The answer is late; the client gives up, and finds its batch in the list."""
    import openai

    async def main(_: Tank, client: Any) -> int:
        ident = await uploaded(client, chat_lines(ROWS))
        with pytest.raises(openai.APITimeoutError):
            await client.batches.create(
                input_file_id=ident, endpoint="/v1/chat/completions", completion_window="24h", timeout=5
            )
        return len([batch async for batch in client.batches.list()])

    fault = {"kind": "stall-before-headers", "match": {"path": "/v1/batches"}}
    assert value_of(wavetank.simulate(with_client(main), with_tables(fault=[fault]))) == 1


def test_what_a_wave_refuses_makes_no_batch() -> None:
    """A refused creation leaves nothing behind."""
    import openai

    async def main(_: Tank, client: Any) -> int:
        ident = await uploaded(client, chat_lines(ROWS))
        with pytest.raises(openai.RateLimitError):
            await client.batches.create(
                input_file_id=ident, endpoint="/v1/chat/completions", completion_window="24h"
            )
        await anyio.sleep(10)
        return len([batch async for batch in client.batches.list()])

    wave = {"lasts": "5s", "match": {"path": "/v1/batches"}, "retry_after": "none"}
    assert value_of(wavetank.simulate(with_client(main), with_tables(wave=[wave]))) == 0


# -- answers -----------------------------------------------------------------------------------------


def test_a_test_answers_the_lines() -> None:
    """`fake_llm.answer` is asked for each line, and may refuse one."""

    async def main(tank: Tank, client: Any) -> tuple[list[str], list[Any]]:
        def answer(request: wavetank.Request) -> Any:
            if request.custom_id == "row-2":
                raise wavetank.RateLimited("too much")
            return Answer(f"said of {request.custom_id} in {request.payload['model']}")

        tank.fake_llm.answer = answer
        batch = await ended(client, await begun(client, chat_lines(["row-1", "row-2"])))
        good = [text_of(one) for one in await results(client, batch.output_file_id)]
        return good, await results(client, batch.error_file_id)

    run = wavetank.simulate(with_client(main), scenario())
    run.check()
    assert run.value is not None
    good, bad = run.value
    assert good == ["said of row-1 in gpt-5"]
    assert bad[0]["response"]["status_code"] == 429


def test_a_line_is_a_request_that_can_be_looked_at() -> None:
    """Lines are in `fake_llm.requests`, with their batch, their id and what became of them."""

    async def main(tank: Tank, client: Any) -> None:
        tank.fake_llm.item_of = lambda request: request.custom_id and request.custom_id.upper()
        items = ["ROW-1", "ROW-2"]
        for item in items:
            tank.ledger.submit(item)
        batch = await ended(client, await begun(client, chat_lines(["row-1", "row-2"])))
        lines = tank.fake_llm.requests.of(item="ROW-*")
        assert [line.custom_id for line in lines] == ["row-1", "row-2"]
        assert {line.batch for line in lines} == {batch.id}
        assert [(line.status, line.delivered) for line in lines] == [(200, False)] * 2
        for result in await results(client, batch.output_file_id):
            tank.ledger.complete(result["custom_id"].upper(), text_of(result))
        assert [line.delivered for line in lines] == [True, True]

    run = wavetank.simulate(with_client(main), scenario())
    run.check()
    assert run.verdicts["right_answer"].passed is True


def test_a_declared_item_goes_before_the_id() -> None:
    """`metadata.item` of a line's body names its item, as in a request of its own."""

    async def main(tank: Tank, client: Any) -> list[str | None]:
        line = chat_line("row-1")
        line["body"]["metadata"] = {"item": "mine"}
        await begun(client, json_lines([line]))
        return [record.item for record in tank.fake_llm.requests if record.batch]

    assert value_of(wavetank.simulate(with_client(main), scenario())) == ["mine"]


def test_the_prompt_is_the_item_where_the_id_is_made_up() -> None:
    """An id that is no item of the ledger gives way to a prompt that is one."""

    async def main(tank: Tank, client: Any) -> None:
        for item in ("Do a.", "id-b"):
            tank.ledger.submit(item)
        lines = [chat_line("a", custom_id="id-a"), chat_line("b", custom_id="id-b")]
        batch = await ended(client, await begun(client, json_lines(lines)))
        found = {one["custom_id"]: text_of(one) for one in await results(client, batch.output_file_id)}
        tank.ledger.complete("Do a.", found["id-a"])
        tank.ledger.complete("id-b", found["id-b"])
        records = [record for record in tank.fake_llm.requests if record.batch]
        assert [(record.item, record.inferred) for record in records] == [("Do a.", True), ("id-b", False)]

    run = wavetank.simulate(with_client(main), scenario())
    run.check()
    assert run.verdicts["right_answer"].passed is True


# -- time --------------------------------------------------------------------------------------------


def test_a_day_costs_no_time_and_is_the_same_each_time() -> None:
    """A batch of a thousand lines takes 23 hours, polled each hour, in a second; twice byte for byte."""

    async def main(tank: Tank, client: Any) -> int:
        items = submitted(tank, 1000)
        batch = await ended(client, await begun(client, chat_lines(items)), every=3600)
        for result in await results(client, batch.output_file_id):
            tank.ledger.complete(result["custom_id"], text_of(result))
        return int(tank.now())

    def run() -> Any:
        return wavetank.simulate(with_client(main), scenario(processing="23h"))

    warm = run()
    began = time.process_time()
    first = run()
    took = time.process_time() - began
    first.check()
    assert first.value == 24 * 3600
    assert took < 10  # it takes about half a second; the machine may be busy
    assert first.events.to_ndjson() == warm.events.to_ndjson()


# -- scenarios ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("batch", "message"),
    [
        ({"fault": [{"kind": "late"}]}, "unknown value 'late'"),
        ({"fault": [{"kind": "fails", "times": 0}]}, "must be 1 or more, not 0"),
        ({"fault": [{"kind": "missing", "error": "server"}]}, 'a line that is "missing" says nothing'),
        ({"fault": [{"kind": "fails", "share": 2}]}, "must be above 0 and at most 1"),
        ({"enqueued_tokens": 0}, "must be more than 0"),
        ({"order": "random"}, "unknown value 'random'"),
        ({"fault": [{"kind": "fails", "match": {"path": "v1/batches"}}]}, 'a path begins with "/"'),
    ],
)
def test_a_wrong_scenario_is_named(batch: dict[str, Any], message: str) -> None:
    """What cannot be is an error with the place and the fix."""
    with pytest.raises(ScenarioError, match=r"batch") as caught:
        scenario_from_dict({"batch": batch}, name="batches", source="the test")
    assert message in str(caught.value)
