"""The batch flows of the vendors' SDKs as their documentation shows them, unmodified, in virtual time."""

from __future__ import annotations

import io
import json
import time
from typing import Any

import anyio
import anyio.to_thread
import pytest

import wavetank
from wavetank import Run, Tank

from .batch_clients import (
    begun,
    chat_lines,
    ended,
    json_lines,
    results,
    scenario,
    submitted,
    text_of,
    value_of,
    with_client,
)

pytestmark = [
    # SDKs leave generators of their own to the garbage collector, of which trio warns.
    pytest.mark.filterwarnings(r"ignore:Async generator '.*:ResourceWarning"),
    # Google's SDK, of a class of its own.
    pytest.mark.filterwarnings("ignore:Inheritance class AiohttpClientSession:DeprecationWarning"),
]

GEMINI = "gemini-2.5-flash"
RUNNING = ("JOB_STATE_PENDING", "JOB_STATE_RUNNING")


def judged(run: Run[Any]) -> Run[Any]:
    """A run in which every item was brought to its own answer, paid once."""
    run.check()
    verdicts = {name: run.verdicts[name].passed for name in ("exactly_once", "right_answer", "answered")}
    assert verdicts == {"exactly_once": True, "right_answer": True, "answered": True}
    assert run.outcomes.completed == run.outcomes.submitted > 0
    return run


# -- OpenAI ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_openai(backend: str) -> None:
    """Upload, create, poll, read the results by their ids; list and delete."""

    async def main(tank: Tank, client: Any) -> None:
        items = submitted(tank)
        batch = await begun(client, chat_lines(items), metadata={"night": "1"})
        assert (batch.status, batch.request_counts.total) == ("validating", 0)
        batch = await ended(client, batch)
        assert (batch.status, batch.errors, batch.error_file_id) == ("completed", None, None)
        assert batch.request_counts.to_dict() == {"total": 4, "completed": 4, "failed": 0}
        assert batch.metadata == {"night": "1"}
        assert batch.in_progress_at - batch.created_at == 60
        assert batch.completed_at - batch.in_progress_at == 600
        assert batch.expired_at is batch.cancelled_at is batch.failed_at is None
        assert batch.expires_at - batch.created_at == 86_400
        assert batch.usage.output_tokens > 0
        for result in await results(client, batch.output_file_id):
            assert result["error"] is None
            tank.ledger.complete(result["custom_id"], text_of(result))
        assert [one.id async for one in client.batches.list(limit=1)] == [batch.id]
        files = [one async for one in client.files.list(purpose="batch_output")]
        assert [one.filename for one in files] == [f"{batch.id}_output.jsonl"]
        assert (await client.files.retrieve(batch.input_file_id)).purpose == "batch"
        assert (await client.files.delete(batch.input_file_id)).deleted

    judged(wavetank.simulate(with_client(main), scenario(), backend=backend))


def test_openai_sync() -> None:
    """The client that blocks does the same, in a thread."""

    def work(tank: Tank, items: list[str]) -> None:
        import openai

        client = openai.OpenAI(api_key="fake")
        file = client.files.create(file=("input.jsonl", chat_lines(items)), purpose="batch")
        batch = client.batches.create(
            input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h"
        )
        while batch.status not in ("completed", "failed"):
            time.sleep(60)
            batch = client.batches.retrieve(batch.id)
        assert batch.output_file_id is not None
        for line in client.files.content(batch.output_file_id).text.splitlines():
            result = json.loads(line)
            tank.ledger.complete(result["custom_id"], text_of(result))

    async def main(tank: Tank) -> None:
        await anyio.to_thread.run_sync(work, tank, submitted(tank))

    judged(wavetank.simulate(main, scenario()))


def test_openai_responses_and_embeddings_in_batches() -> None:
    """Lines ask the other endpoints, too, and are answered as single requests are."""

    async def main(tank: Tank, client: Any) -> None:
        item = submitted(tank, 1)[0]
        asked: list[tuple[str, dict[str, Any]]] = [
            ("/v1/responses", {"model": "gpt-5", "input": "Do it."}),
            ("/v1/embeddings", {"model": "text-embedding-3-small", "input": "wave"}),
            ("/v1/completions", {"model": "gpt-3.5-turbo-instruct", "prompt": "Do it."}),
        ]
        found = []
        for path, body in asked:
            line = {"custom_id": item, "method": "POST", "url": path, "body": body}
            batch = await ended(client, await begun(client, json_lines([line]), endpoint=path))
            result = (await results(client, batch.output_file_id))[0]
            found.append(result["response"]["body"]["object"])
        assert found == ["response", "list", "text_completion"]

    run = wavetank.simulate(with_client(main), scenario(), checks="right_answer")
    assert run.error is None


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_response_in_the_background(backend: str) -> None:
    """It is queued, then in progress, then completed, and is read again by its id."""

    async def main(tank: Tank, client: Any) -> list[str]:
        tank.ledger.submit("row-1")
        options = {"extra_headers": {"x-wavetank-item": "row-1"}}
        response = await client.responses.create(model="gpt-5", input="Do it.", background=True, **options)
        seen = [response.status]
        while response.status in ("queued", "in_progress"):
            await anyio.sleep(1)
            response = await client.responses.retrieve(response.id, **options)
            seen.append(response.status)
        assert response.background is True
        tank.ledger.complete("row-1", response.output_text)
        assert await client.responses.delete(response.id) is None
        return list(dict.fromkeys(seen))

    run = judged(
        wavetank.simulate(with_client(main), scenario(queued="2s", background="5s"), backend=backend)
    )
    assert run.value == ["queued", "in_progress", "completed"]


def test_a_cancelled_response_costs_nothing() -> None:
    """What is cancelled before it is done has no output, and is not paid."""

    async def main(tank: Tank, client: Any) -> None:
        tank.ledger.submit("row-1")
        header = {"x-wavetank-item": "row-1"}
        response = await client.responses.create(
            model="gpt-5", input="Do it.", background=True, extra_headers=header
        )
        response = await client.responses.cancel(response.id)
        assert (response.status, response.output) == ("cancelled", [])
        await anyio.sleep(300)
        assert (await client.responses.retrieve(response.id)).status == "cancelled"
        answer = await client.responses.create(model="gpt-5", input="Do it.", extra_headers=header)
        tank.ledger.complete("row-1", answer.output_text)

    judged(wavetank.simulate(with_client(main), scenario()))


def test_azure() -> None:
    """Azure's client: its paths, and `url`s without `/v1`; a response may be in the background."""
    import openai

    async def main(tank: Tank) -> None:
        items = submitted(tank)
        client = openai.AsyncAzureOpenAI(
            api_key="fake", api_version="2024-10-21", azure_endpoint="https://res.openai.azure.com"
        )
        data = chat_lines(items).replace(b"/v1/chat", b"/chat")
        batch = await ended(client, await begun(client, data, endpoint="/chat/completions"))
        for result in await results(client, batch.output_file_id):
            tank.ledger.complete(result["custom_id"], text_of(result))
        assert "content_filter_results" in result["response"]["body"]["choices"][0]
        response = await client.responses.create(model="gpt-5", input="Do it.", background=True)
        assert (response.status, response.background) == ("queued", True)

    judged(wavetank.simulate(main, scenario()))


# -- Anthropic ---------------------------------------------------------------------------------------


def message_requests(items: list[str]) -> list[Any]:
    """The requests of a message batch."""
    return [
        {
            "custom_id": item,
            "params": {
                "model": "claude-sonnet-5-5",
                "max_tokens": 100,
                "messages": [{"role": "user", "content": f"Do {item}."}],
            },
        }
        for item in items
    ]


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_anthropic(backend: str) -> None:
    """Create, poll, stream the results; list and delete."""
    import anthropic

    async def main(tank: Tank) -> None:
        items = submitted(tank)
        client = anthropic.AsyncAnthropic(api_key="fake")
        batch = await client.messages.batches.create(requests=message_requests(items))
        assert batch.request_counts.processing == 4
        with pytest.raises(anthropic.BadRequestError, match="no results yet"):
            await client.get(f"/v1/messages/batches/{batch.id}/results", cast_to=object)
        with pytest.raises(anthropic.BadRequestError, match="in progress"):
            await client.messages.batches.delete(batch.id)
        while batch.processing_status != "ended":
            assert batch.results_url is None
            await anyio.sleep(60)
            batch = await client.messages.batches.retrieve(batch.id)
        assert (batch.request_counts.succeeded, batch.request_counts.processing) == (4, 0)
        assert batch.ended_at is not None
        assert (batch.ended_at - batch.created_at).total_seconds() == 660
        async for entry in await client.messages.batches.results(batch.id):
            assert entry.result.type == "succeeded"
            block = entry.result.message.content[0]
            assert block.type == "text"
            tank.ledger.complete(entry.custom_id, block.text)
        assert [one.id async for one in client.beta.messages.batches.list(limit=1)] == [batch.id]
        assert (await client.messages.batches.delete(batch.id)).type == "message_batch_deleted"
        with pytest.raises(anthropic.NotFoundError):
            await client.messages.batches.retrieve(batch.id)

    judged(wavetank.simulate(main, scenario(), backend=backend))


def test_anthropic_sync() -> None:
    """The client that blocks does the same, in a thread; a cancelled line has a result of its own."""

    def work(tank: Tank, items: list[str]) -> None:
        import anthropic

        client: Any = anthropic.Anthropic(api_key="fake")
        batch = client.messages.batches.create(requests=message_requests(items))
        time.sleep(60 + 300)
        batch = client.messages.batches.cancel(batch.id)
        assert batch.processing_status == "canceling"
        while batch.processing_status != "ended":
            time.sleep(10)
            batch = client.messages.batches.retrieve(batch.id)
        assert (batch.request_counts.succeeded, batch.request_counts.canceled) == (2, 2)
        for entry in client.messages.batches.results(batch.id):
            if entry.result.type == "succeeded":
                tank.ledger.complete(entry.custom_id, entry.result.message.content[0].to_dict()["text"])
            else:
                assert entry.result.type == "canceled"
                tank.ledger.cancel(entry.custom_id)

    async def main(tank: Tank) -> None:
        await anyio.to_thread.run_sync(work, tank, submitted(tank))

    run = wavetank.simulate(main, scenario())
    run.check()
    assert (run.outcomes.completed, run.outcomes.cancelled) == (2, 2)


# -- Gemini ------------------------------------------------------------------------------------------


def inlined(items: list[str]) -> list[Any]:
    """Requests in the body of a batch."""
    return [
        {"contents": [{"parts": [{"text": f"Do {item}."}], "role": "user"}], "metadata": {"key": item}}
        for item in items
    ]


def test_gemini_inlined() -> None:
    """Requests in the body have their responses in the operation, in their order."""
    from google import genai

    async def main(tank: Tank) -> None:
        items = submitted(tank)
        batches: Any = genai.Client(api_key="fake").aio.batches
        job = await batches.create(model=GEMINI, src=inlined(items), config={"display_name": "night"})
        assert (job.state.name, job.display_name) == ("JOB_STATE_PENDING", "night")
        while job.state.name in RUNNING:
            await anyio.sleep(60)
            job = await batches.get(name=job.name)
        assert job.state.name == "JOB_STATE_SUCCEEDED"
        assert [one.metadata["key"] for one in job.dest.inlined_responses] == items
        for one in job.dest.inlined_responses:
            tank.ledger.complete(one.metadata["key"], one.response.text)
        assert [one.name async for one in await batches.list()] == [job.name]
        await batches.delete(name=job.name)
        with pytest.raises(genai.errors.ClientError, match="not found"):
            await batches.get(name=job.name)

    judged(wavetank.simulate(main, scenario()))


def test_gemini_by_file() -> None:
    """An uploaded file of requests becomes a file of results, which the blocking client downloads."""

    def work(tank: Tank, items: list[str]) -> None:
        from google import genai

        client: Any = genai.Client(api_key="fake")
        lines = [{"key": item, "request": {"contents": [{"parts": [{"text": "Do it."}]}]}} for item in items]
        file = client.files.upload(
            file=io.BytesIO(json_lines(lines)),
            config={"mime_type": "jsonl", "display_name": "input"},
        )
        kept = client.files.get(name=file.name)
        assert (kept.size_bytes, kept.display_name) == (len(json_lines(lines)), "input")
        job = client.batches.create(model=GEMINI, src=file.name)
        while job.state.name in RUNNING:
            time.sleep(60)
            job = client.batches.get(name=job.name)
        for line in client.files.download(file=job.dest.file_name).decode().splitlines():
            result = json.loads(line)
            text = result["response"]["candidates"][0]["content"]["parts"][0]["text"]
            tank.ledger.complete(result["key"], text)
        assert len(list(client.files.list())) == 2
        client.files.delete(name=file.name)

    async def main(tank: Tank) -> None:
        await anyio.to_thread.run_sync(work, tank, submitted(tank))

    judged(wavetank.simulate(main, scenario()))


def test_gemini_cancelled() -> None:
    """A cancelled job has the results of what was done; a job that has ended cannot be cancelled."""
    from google import genai

    async def main(_: Tank) -> tuple[str, int]:
        batches: Any = genai.Client(api_key="fake").aio.batches
        job = await batches.create(model=GEMINI, src=inlined(["a", "b", "c", "d"]))
        await anyio.sleep(60 + 300)
        await batches.cancel(name=job.name)
        await anyio.sleep(60)
        job = await batches.get(name=job.name)
        with pytest.raises(genai.errors.ClientError, match="has ended"):
            await batches.cancel(name=job.name)
        return job.state.name, len(job.dest.inlined_responses)

    assert value_of(wavetank.simulate(main, scenario())) == ("JOB_STATE_CANCELLED", 2)


# -- Mistral -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("inline", [False, True])
def test_mistral(inline: bool) -> None:
    """A file of lines that have bodies only, or requests in the job itself."""
    from mistralai.client import Mistral

    async def main(tank: Tank) -> None:
        items = submitted(tank)
        client: Any = Mistral(api_key="fake")
        lines = [
            {"custom_id": item, "body": {"messages": [{"role": "user", "content": "Do it."}]}}
            for item in items
        ]
        if inline:
            source = {"requests": lines}
        else:
            content = {"file_name": "input.jsonl", "content": json_lines(lines)}
            file = await client.files.upload_async(file=content, purpose="batch")
            assert file.num_lines == 4
            source = {"input_files": [file.id]}
        job = await client.batch.jobs.create_async(
            model="mistral-small-latest", endpoint="/v1/chat/completions", **source
        )
        assert (job.status, job.failed_requests) == ("QUEUED", 0)
        while job.status in ("QUEUED", "RUNNING"):
            await anyio.sleep(60)
            job = await client.batch.jobs.get_async(job_id=job.id, inline=inline)
        assert (job.status, job.succeeded_requests, job.failed_requests) == ("SUCCESS", 4, 0)
        assert job.error_file is None
        found = job.outputs
        if not inline:
            reply = await client.files.download_async(file_id=job.output_file)
            found = [json.loads(line) for line in (await reply.aread()).splitlines()]
        for result in found:
            tank.ledger.complete(result["custom_id"], text_of(result))
        assert (await client.batch.jobs.list_async(status=["SUCCESS"])).total == 1

    judged(wavetank.simulate(main, scenario()))


def test_a_response_in_the_background_fails() -> None:
    """It fails with the error of the line's fault, and does not expire."""

    async def main(tank: Tank, client: Any) -> list[tuple[str, str]]:
        tank.ledger.submit("row-1")
        seen = []
        for _ in range(2):
            response = await client.responses.create(
                model="gpt-5", input="Do it.", background=True, extra_headers={"x-wavetank-item": "row-1"}
            )
            while response.status in ("queued", "in_progress"):
                await anyio.sleep(60)
                response = await client.responses.retrieve(response.id)
            seen.append((response.status, response.error.code if response.error else ""))
        tank.ledger.complete("row-1", response.output_text)
        return seen

    faults = [{"kind": "expires"}, {"kind": "fails", "error": "rate-limit", "times": 1}]
    run = judged(wavetank.simulate(with_client(main), scenario(fault=faults)))
    assert run.value == [("failed", "rate_limit_exceeded"), ("completed", "")]
