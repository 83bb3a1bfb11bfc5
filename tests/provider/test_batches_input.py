"""Batches that cannot be taken: each vendor's own error, with the line."""

from __future__ import annotations

import json
from typing import Any

import anyio
import pytest

import wavetank
from wavetank import Tank

from .batch_clients import (
    PATH,
    begun,
    chat_line,
    chat_lines,
    ended,
    json_lines,
    results,
    scenario,
    uploaded,
    value_of,
    with_client,
)

# Google's SDK, of a class of its own.
pytestmark = pytest.mark.filterwarnings("ignore:Inheritance class AiohttpClientSession:DeprecationWarning")

GOOD = json.dumps(chat_line("row-1")).encode() + b"\n"


def with_second(line: bytes) -> bytes:
    """An input file whose second line is this one."""
    return GOOD + line + b"\n"


def changed(**changes: Any) -> bytes:
    """A line in which something is different."""
    return with_second(json.dumps(chat_line("row-2", **changes)).encode())


def without(name: str) -> bytes:
    """A line without one of its fields."""
    line = chat_line("row-2")
    del line[name]
    return with_second(json.dumps(line).encode())


@pytest.mark.parametrize(
    ("data", "code", "line", "param"),
    [
        (without("custom_id"), "missing_required_parameter", 2, "custom_id"),
        (without("method"), "missing_required_parameter", 2, "method"),
        (without("body"), "missing_required_parameter", 2, "body"),
        (with_second(b'{"custom_id": "row-2", "met'), "invalid_json_line", 2, None),
        (with_second(b'["row-2"]'), "invalid_json_line", 2, None),
        (changed(url="/v1/embeddings"), "invalid_url", 2, "url"),
        (changed(url="/v1/nothing"), "invalid_url", 2, "url"),
        (with_second(b"\n" + GOOD.strip()), "duplicate_custom_id", 3, "custom_id"),
        (changed(custom_id=7), "invalid_type", 2, "custom_id"),
        (changed(body={"model": "gpt-4o", "messages": []}), "model_mismatch", None, None),
        (b"\n\n", "empty_file", None, None),
    ],
)
def test_openai_fails_the_batch(data: bytes, code: str, line: int | None, param: str | None) -> None:
    """The batch is made, fails when it has been validated, and says which line is wrong."""

    async def main(_: Tank, client: Any) -> Any:
        batch = await begun(client, data)
        assert (batch.status, batch.errors) == ("validating", None)
        return await ended(client, batch)

    batch = value_of(wavetank.simulate(with_client(main), scenario()))
    assert (batch.status, batch.output_file_id, batch.error_file_id) == ("failed", None, None)
    assert batch.failed_at - batch.created_at == 60
    assert batch.in_progress_at is None
    assert batch.request_counts.total == 0
    error = batch.errors.data[0]
    assert (error.code, error.line, error.param) == (code, line, param)
    assert error.message.endswith(".")


def test_every_wrong_line_is_named() -> None:
    """What is wrong with several lines is said of each."""

    async def main(_: Tank, client: Any) -> list[int]:
        data = json_lines([chat_line(None), chat_line("row-2"), chat_line(None)])
        batch = await ended(client, await begun(client, data))
        return [error.line for error in batch.errors.data]

    assert value_of(wavetank.simulate(with_client(main), scenario())) == [1, 3]


def test_a_wrong_body_fails_its_line_alone() -> None:
    """What a single request would be refused for is in the file of errors, with its status."""

    async def main(_: Tank, client: Any) -> list[dict[str, Any]]:
        bad = chat_line("row-2", body={"model": "gpt-5", "messages": "hello"})
        batch = await ended(client, await begun(client, json_lines([chat_line("row-1"), bad])))
        assert (batch.status, batch.request_counts.completed, batch.request_counts.failed) == (
            "completed",
            1,
            1,
        )
        return await results(client, batch.error_file_id)

    (result,) = value_of(wavetank.simulate(with_client(main), scenario()))
    assert (result["custom_id"], result["response"]["status_code"], result["error"]) == ("row-2", 400, None)
    assert result["response"]["body"]["error"]["param"] == "messages"


@pytest.mark.parametrize(
    ("options", "status", "message"),
    [
        ({"endpoint": "/v1/nothing"}, 400, "Supported values are: '/v1/chat/completions'"),
        ({"endpoint": "/v1/moderations"}, 400, "wavetank doesn't serve batches of /v1/moderations"),
        ({"completion_window": "1h"}, 400, "Supported values are: '24h'"),
        ({"input_file_id": "file-nothing"}, 404, "No such File object: file-nothing"),
        ({"input_file_id": ""}, 400, "Missing required parameter: 'input_file_id'"),
    ],
)
def test_openai_takes_no_such_batch(options: dict[str, str], status: int, message: str) -> None:
    """What is wrong with the request itself is refused at once."""
    import openai

    async def main(_: Tank, client: Any) -> openai.APIStatusError:
        wanted = {
            "input_file_id": await uploaded(client, chat_lines(["row-1"])),
            "endpoint": PATH,
            "completion_window": "24h",
        } | options
        with pytest.raises(openai.APIStatusError) as caught:
            await client.batches.create(**wanted)
        return caught.value

    error = value_of(wavetank.simulate(with_client(main), scenario()))
    assert error.status_code == status
    assert message in error.message


def test_openai_knows_its_files_and_batches() -> None:
    """An unknown id is a 404; a file must be JSON lines, and a batch that has ended is not cancelled."""
    import openai

    async def main(_: Tank, client: Any) -> list[str]:
        said = []
        batch = await ended(client, await begun(client, chat_lines(["row-1"])))
        for call in (
            client.batches.retrieve("batch_0"),
            client.batches.cancel(batch.id),
            client.files.retrieve("file-0"),
            client.files.content("file-0"),
            client.files.create(file=("input.txt", b"x"), purpose="batch"),
            client.files.create(file=("input.jsonl", b"x"), purpose="nothing"),
            client.files.list(after="file-0"),
            client.responses.retrieve("resp_bg0"),
        ):
            with pytest.raises(openai.APIStatusError) as caught:
                await call
            body: Any = caught.value.body
            said.append(f"{caught.value.status_code} {body['message']}")
        return said

    assert value_of(wavetank.simulate(with_client(main), scenario())) == [
        "404 No batch found with id 'batch_0'.",
        "409 Cannot cancel a batch with status 'completed'.",
        "404 No such File object: file-0",
        "404 No such File object: file-0",
        "400 Invalid file format for Batch API. Must be .jsonl",
        "400 Invalid value: 'nothing'. Supported values are: 'assistants', 'batch', 'fine-tune', 'vision', "
        "'user_data', 'evals'.",
        "400 Invalid 'after': there is no 'file-0'.",
        "404 Response with id 'resp_bg0' not found.",
    ]


PARAMS = {"model": "claude-sonnet-5-5", "max_tokens": 10, "messages": [{"role": "user", "content": "Hi"}]}


@pytest.mark.parametrize(
    ("requests", "message"),
    [
        ([], "requests: List should have at least 1 item"),
        ([{"custom_id": "a", "params": PARAMS}, {"params": PARAMS}], "requests.1.custom_id: Field required"),
        ([{"custom_id": "a b", "params": PARAMS}], "requests.0.custom_id: String should match pattern"),
        ([{"custom_id": "a", "params": PARAMS}] * 2, "requests.1.custom_id: Duplicate custom_id: a"),
        ([{"custom_id": "a"}], "requests.0.params: Field required"),
    ],
)
def test_anthropic_takes_no_such_batch(requests: list[Any], message: str) -> None:
    """A wrong request is a 400 that says which one it is; nothing is paid."""
    import anthropic

    async def main(_: Tank) -> str:
        client = anthropic.AsyncAnthropic(api_key="fake")
        with pytest.raises(anthropic.BadRequestError) as caught:
            await client.messages.batches.create(requests=requests)
        return caught.value.message

    assert message in value_of(wavetank.simulate(main, scenario()))


def test_anthropic_errs_a_wrong_line_alone() -> None:
    """Parameters are validated when the batch is processed: such a line is errored."""
    import anthropic

    async def main(_: Tank) -> dict[str, Any]:
        client = anthropic.AsyncAnthropic(api_key="fake")
        wrong: Any = {"custom_id": "a", "params": PARAMS | {"max_tokens": 0}}
        batch = await client.messages.batches.create(requests=[wrong])
        await anyio.sleep(700)
        entries = [entry async for entry in await client.messages.batches.results(batch.id)]
        return entries[0].result.to_dict()

    result = value_of(wavetank.simulate(main, scenario()))
    assert (result["type"], result["error"]["error"]["type"]) == ("errored", "invalid_request_error")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (b'{"key": "a", "requ', "Failed to parse line 2 of the input file as a JSON object."),
        (b'{"key": "a"}', "Line 2 of the input file has no 'request'."),
    ],
)
def test_gemini_fails_the_batch(line: bytes, message: str) -> None:
    """A job of a torn file fails, and its operation says which line is wrong."""
    import io

    from google import genai

    async def main(tank: Tank) -> tuple[str, str]:
        client: Any = genai.Client(api_key="fake").aio
        good = json.dumps({"key": "b", "request": {"contents": [{"parts": [{"text": "Hi"}]}]}}).encode()
        data = io.BytesIO(good + b"\n" + line)
        file = await client.files.upload(file=data, config={"mime_type": "jsonl"})
        job = await client.batches.create(model="gemini-2.5-flash", src=file.name)
        await anyio.sleep(700)
        job = await client.batches.get(name=job.name)
        async with tank_client(tank) as http:
            operation = (await http.get(f"https://{GEMINI}/v1beta/{job.name}", headers=KEY)).json()
        return job.state.name, operation["error"]["message"]

    run = wavetank.simulate(main, scenario())
    run.check()
    assert run.value == ("JOB_STATE_FAILED", message)


GEMINI = "generativelanguage.googleapis.com"
KEY = {"x-goog-api-key": "fake"}


def tank_client(tank: Tank) -> Any:
    """A client of httpx."""
    import httpx

    return httpx.AsyncClient(transport=tank.fake_llm.httpx_transport())


def test_mistral_fails_the_job() -> None:
    """A job of a torn file fails, and says which line is wrong; a line needs no id."""
    from mistralai.client import Mistral

    async def main(_: Tank) -> tuple[str, list[str]]:
        client: Any = Mistral(api_key="fake")
        data = b'{"body": {"messages": [{"role": "user", "content": "Hi"}]}}\n{"custom_id": "b", "bo\n{}\n'
        content = {"file_name": "input.jsonl", "content": data}
        file = await client.files.upload_async(file=content, purpose="batch")
        job = await client.batch.jobs.create_async(
            model="mistral-small-latest", endpoint="/v1/chat/completions", input_files=[file.id]
        )
        await anyio.sleep(700)
        job = await client.batch.jobs.get_async(job_id=job.id)
        return job.status, [error.message for error in job.errors]

    assert value_of(wavetank.simulate(main, scenario())) == (
        "FAILED",
        ["Line 2 is not a JSON object", "Line 3 has no 'body'"],
    )


def test_a_form_is_read_with_every_byte() -> None:
    """An uploaded file comes back as it was, whatever bytes it has."""

    async def main(_: Tank, client: Any) -> bool:
        data = bytes(range(256)) * 3 + b"\r\n--x\r\n\r\n"
        file = await client.files.create(file=("a.bin", data), purpose="user_data")
        same = (await client.files.content(file.id)).content == data
        return same and bool(file.bytes == len(data))

    assert value_of(wavetank.simulate(with_client(main), scenario())) is True
