"""Images, sound and moderation, judged by the SDKs of OpenAI, Azure, Groq and Mistral."""

from __future__ import annotations

import io
import json
import struct
import wave
import zlib
from base64 import b64decode
from collections.abc import Awaitable, Callable
from typing import Any

import groq
import httpx2
import openai
import pytest

import wavetank
from wavetank import Scenario, Tank
from wavetank.clock import SECOND, Duration
from wavetank.provider.host_rules import HostApp, HostTable
from wavetank.provider.http import BadRequest, HttpRequest
from wavetank.provider.multipart import FormField, form_fields
from wavetank.provider.vendor_registry import cards
from wavetank.provider.vendors.openai.files import mp3, png, wav
from wavetank.scenario import Fault, RetryAfter, Wave

from .dialects import dialect_for

pytestmark = [
    # SDKs leave generators of their own to the garbage collector, of which trio warns.
    pytest.mark.filterwarnings(r"ignore:Async generator '.*:ResourceWarning"),
    # OpenAI's SDK says so of some endpoints, which are there all the same.
    pytest.mark.filterwarnings("ignore:deprecated:DeprecationWarning"),
]

SOUND = ("row-1.mp3", b"\xff\xfb\r\n--" + bytes(70_000))
TEXT = "[wt:row-1.mp3] is the item this answer belongs to."


def run(main: Callable[[Tank], Awaitable[Any]], scenario: Scenario | None = None, **options: Any) -> Any:
    """What a program returns in a world of its own."""
    ran = wavetank.simulate(main, scenario or Scenario(), **{"checks": (), **options})
    if ran.error is not None:
        raise ran.error
    return ran.value


def with_openai(
    asking: Callable[[Any], Awaitable[Any]], scenario: Scenario | None = None, **options: Any
) -> Any:
    """What an asynchronous client of OpenAI's, with its strict parser, gets."""

    async def main(_: Tank) -> Any:
        async with openai.AsyncOpenAI(_strict_response_validation=True) as client:
            return await asking(client)

    return run(main, scenario, **options)


def is_picture(data: bytes) -> bool:
    """Whether all chunks of a PNG have the right checksums, and it has one pixel."""
    assert data.startswith(b"\x89PNG\r\n\x1a\n")
    at, names = 8, []
    while at < len(data):
        (size,) = struct.unpack(">I", data[at : at + 4])
        chunk = data[at + 4 : at + 8 + size]
        assert struct.unpack(">I", data[at + 8 + size : at + 12 + size]) == (zlib.crc32(chunk),)
        names.append(chunk[:4])
        at += 12 + size
    return names == [b"IHDR", b"IDAT", b"IEND"]


# -- images ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_images_come_in_base64_or_behind_a_url(backend: str) -> None:
    """As the model has it: what is behind the URL can be fetched, and is no request to the provider."""

    async def main(tank: Tank) -> Any:
        async with (
            openai.AsyncOpenAI(_strict_response_validation=True) as client,
            httpx2.AsyncClient() as web,
        ):
            new = await client.images.generate(model="gpt-image-1", prompt="row-1", n=2, size="1536x1024")
            old = await client.images.generate(model="dall-e-3", prompt="row-1")
            url = old.data[0].url or "" if old.data else ""
            fetched = await web.get(url)
        return new, old, fetched, [record.item for record in tank.fake_llm.requests]

    new, old, fetched, items = run(main, backend=backend)
    pictures = {b64decode(image.b64_json) for image in new.data}
    assert len(pictures) == 2
    assert all(map(is_picture, pictures))
    assert (new.size, new.usage.input_tokens) == ("1536x1024", 2)
    assert (old.usage, old.data[0].revised_prompt) == (None, "row-1")
    assert (fetched.headers["content-type"], is_picture(fetched.content)) == ("image/png", True)
    assert items == ["row-1", "row-1"]


def test_an_image_is_edited_varied_and_streamed() -> None:
    """Forms with files, and a stream that has the finished picture alone."""

    async def asking(client: Any) -> Any:
        edited = await client.images.edit(model="gpt-image-1", prompt="row-1", image=("a.png", b"PNG"))
        varied = await client.images.create_variation(image=("b.png", b"PNG"), n=2)
        events = await client.images.generate(model="gpt-image-1", prompt="row-1", stream=True)
        return edited, varied, [event async for event in events]

    edited, varied, (event,) = with_openai(asking)
    assert is_picture(b64decode(edited.data[0].b64_json))
    assert len({image.url for image in varied.data}) == 2
    assert (event.type, is_picture(b64decode(event.b64_json))) == ("image_generation.completed", True)


# -- sound -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("form", "said"),
    [
        ("json", lambda answer: answer.text),
        ("verbose_json", lambda answer: answer.text),
        ("text", lambda answer: answer.strip()),
        ("srt", lambda answer: answer.splitlines()[2]),
        ("vtt", lambda answer: answer.splitlines()[3]),
    ],
)
def test_a_transcription_has_its_form(form: str, said: Callable[[Any], str]) -> None:
    """The text of the answer, whose item is the name of the file."""

    async def asking(client: Any) -> Any:
        return await client.audio.transcriptions.create(
            model="whisper-1", file=SOUND, response_format=form, timestamp_granularities=["word"]
        )

    answer = with_openai(asking)
    assert said(answer) == TEXT
    if form == "verbose_json":
        assert (answer.duration, [word.word for word in answer.words]) == (4, TEXT.split())


def test_a_transcription_streams_and_is_judged() -> None:
    """Pieces of the text, then all of it; the default checks know whose answer it is."""

    async def main(tank: Tank) -> tuple[str, str]:
        tank.ledger.submit(SOUND[0])
        async with openai.AsyncOpenAI(_strict_response_validation=True) as client:
            events = await client.audio.transcriptions.create(
                model="gpt-4o-transcribe", file=SOUND, stream=True
            )
            found = [event async for event in events]
        text = "".join(event.delta for event in found if event.type == "transcript.text.delta")
        tank.ledger.complete(SOUND[0], text)
        return text, str(getattr(found[-1], "text", ""))

    ran = wavetank.simulate(main, Scenario())
    ran.check()
    assert ran.value == (TEXT, TEXT)


def test_a_translation_and_speech() -> None:
    """A translation is text; speech is silence in the form that is asked for."""

    async def asking(client: Any) -> Any:
        translated = await client.audio.translations.create(model="whisper-1", file=SOUND)
        said: dict[str, Any] = {"model": "tts-1", "voice": "alloy", "input": "row-1"}
        spoken = [
            await client.audio.speech.create(**said, response_format=form) for form in ("mp3", "wav", "pcm")
        ]
        async with client.audio.speech.with_streaming_response.create(**said) as parts:
            streamed = b"".join([part async for part in parts.iter_bytes()])
        return translated.text, [each.content for each in spoken], streamed

    text, (mp3, wav, pcm), streamed = with_openai(asking)
    assert (text, streamed) == (TEXT, mp3)
    assert (mp3[:2], wav[:4], wav[-len(pcm) :]) == (b"\xff\xfb", b"RIFF", pcm)


def test_a_scenario_s_wave_and_faults_meet_sound_and_images_too() -> None:
    """The SDK waits as it is asked to, and a broken connection is asked for again."""
    refusals = Wave(
        lasts=Duration(SECOND // 10), status=429, retry_after=RetryAfter(value=Duration(7 * SECOND))
    )

    async def main(tank: Tank) -> list[float]:
        async with openai.AsyncOpenAI() as client:
            await client.audio.transcriptions.create(model="whisper-1", file=SOUND)
            await client.images.generate(model="gpt-image-1", prompt="row-2")
        return [round(record.sent, 1) for record in tank.fake_llm.requests]

    first, again, broken, *_ = run(
        main, Scenario(wave=(refusals,), fault=(Fault(at=Duration(7 * SECOND), kind="reset"),))
    )
    assert (first, again) == (0, 7)
    assert broken > 7


def test_small_files_are_what_they_say() -> None:
    """A picture of one pixel, with a colour of its own, and a tenth of a second of silence."""
    assert png("a") != png("b")
    assert png("a").startswith(b"\x89PNG\r\n\x1a\n")
    with wave.open(io.BytesIO(wav())) as sound:
        assert (sound.getframerate(), sound.getnframes()) == (8000, 800)
    # The header of a frame of MPEG 1, layer 3, at 128 kbit/s and 44.1 kHz: each has 417 bytes.
    assert [mp3()[at : at + 4] for at in range(0, len(mp3()), 417)] == [b"\xff\xfb\x90\x64"] * 4


# -- moderation, and other vendors -----------------------------------------------------------------


def test_nothing_is_flagged() -> None:
    """A result for each text, and one for parts with images, which are looked at for some categories."""
    picture = {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}

    async def asking(client: Any) -> Any:
        texts = await client.moderations.create(input=["a", "b"])
        parts = await client.moderations.create(input=[{"type": "text", "text": "a"}, picture])
        return texts.results, parts.results

    texts, (parts,) = with_openai(asking)
    assert [result.flagged for result in texts] == [False, False]
    assert parts.category_applied_input_types.violence == ["text", "image"]
    assert parts.category_applied_input_types.hate == ["text"]


def test_other_vendors_have_what_they_document() -> None:
    """Groq's and Mistral's own SDKs, Azure's deployments, and OpenAI's SDK at other vendors."""

    async def main(tank: Tank) -> Any:
        from mistralai.client import Mistral

        async with groq.AsyncGroq(_strict_response_validation=True) as client:
            heard = await client.audio.transcriptions.create(model="m-1", file=SOUND)
            spoken = await (await client.audio.speech.create(model="m-1", voice="v", input="i")).read()
        async with openai.AsyncAzureOpenAI(
            azure_endpoint="https://mine.openai.azure.com", api_version="2024-10-21"
        ) as azure:
            deployed = await azure.audio.transcriptions.create(model="m-1", file=SOUND)
            pictures = await azure.images.generate(model="m-1", prompt="row-1")
        async with Mistral(api_key="key") as mistral:
            looked = await mistral.classifiers.moderate_async(model="m-1", inputs=["a", "b"])
        async with openai.AsyncOpenAI(base_url="https://api.together.xyz/v1") as together:
            more = await together.images.generate(model="m-1", prompt="row-1")
        texts = [heard.text, deployed.text]
        return texts, spoken[:4], pictures.data, looked.results, more.data, tank.fake_llm.requests

    texts, spoken, pictures, looked, more, requests = run(main)
    assert texts == [TEXT, TEXT]
    assert (spoken, len(pictures), len(looked), len(more)) == (b"RIFF", 1, 2, 1)
    assert [record.request.card.name for record in requests] == [
        *("groq", "groq", "azure", "azure", "mistral", "together"),
    ]


# -- bad requests ----------------------------------------------------------------------------------


FIELD = b"--b\r\ncontent-disposition: form-data; name=%s\r\n\r\n%s\r\n"


def form(*parts: bytes) -> HttpRequest:
    """A form that asks for a transcription."""
    body = b"".join(FIELD % tuple(each.split(b"=")) for each in parts)
    return HttpRequest(
        method="POST",
        host="api.openai.com",
        path="/v1/audio/transcriptions",
        headers={"authorization": "Bearer key", "content-type": "multipart/form-data; boundary=b"},
        body=body + b"--b--\r\n",
    )


def json_request(path: str, **body: Any) -> HttpRequest:
    """A request of JSON to OpenAI."""
    headers = {"authorization": "Bearer key", "content-type": "application/json"}
    return HttpRequest(
        method="POST", host="api.openai.com", path=path, headers=headers, body=json.dumps(body).encode()
    )


@pytest.mark.parametrize(
    ("request_", "said"),
    [
        (form(b"model=m-1"), "'file'"),
        (form(b"file=x"), "'model'"),
        (json_request("/v1/audio/transcriptions", model="m-1"), "multipart form"),
        (json_request("/v1/images/generations"), "'prompt'"),
        (json_request("/v1/images/generations", prompt="a", n=11), "from 1 to 10"),
        (json_request("/v1/images/generations", prompt="a", n=0), "from 1 to 10"),
        (json_request("/v1/moderations"), "'input'"),
        (json_request("/v1/moderations", input=[]), "'input'"),
        (json_request("/v1/audio/speech", model="m-1", input="a"), "'voice'"),
        (
            json_request("/v1/audio/speech", model="m", input="a", voice="v", response_format="opus"),
            "wavetank doesn't serve",
        ),
    ],
)
def test_a_bad_request_says_what_is_wrong(request_: HttpRequest, said: str) -> None:
    """In OpenAI's words, with its parameter."""
    dialect = dialect_for("api.openai.com")
    assert dialect is not None
    with pytest.raises(BadRequest) as caught:
        dialect.decode(request_, now=0)
    error = json.loads(caught.value.reply.body)["error"]
    assert (caught.value.reply.status, said in error["message"]) == (400, True)


def test_forms_are_read_to_the_byte() -> None:
    """Also a file with line breaks and hyphens, and names that are no ASCII."""
    data = b"\r\n--c\r\n\xff\n--"
    body = (
        b'--b\r\nContent-Disposition: form-data; name="a"\r\n\r\n1\r\n'
        b'--b\r\nContent-Disposition: form-data; name="f"; filename="\xc3\xa4.mp3"\r\n'
        b"Content-Type: x/y\r\n\r\n" + data + b"\r\n--b--\r\n"
    )
    fields = form_fields("multipart/form-data; boundary=b", body)
    assert fields == [FormField("a", b"1"), FormField("f", data, "ä.mp3")]


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("application/json", b"{}"),
        ("multipart/form-data", b"--b--"),
        ("multipart/form-data; boundary=b", b""),
        ("multipart/form-data; boundary=b", b'--b\r\ncontent-disposition: form-data; name="a"\r\n\r\n1'),
        ("multipart/form-data; boundary=b", b"--b\r\n\r\n1\r\n--b--"),
    ],
)
def test_what_is_no_whole_form_is_refused(content_type: str, body: bytes) -> None:
    """Without an end, a boundary or names."""
    with pytest.raises(ValueError, match="form"):
        form_fields(content_type, body)


@pytest.mark.parametrize("host", [host for card in cards() for host in card.hosts])
def test_each_host_says_what_is_not_served(host: str) -> None:
    """With the words that name wavetank, counted as unserved and not as a refusal."""
    http = HttpRequest(
        method="POST",
        host=host.replace("*", "x"),
        path="/v1/fine_tuning/jobs",
        headers={"authorization": "Bearer key"},
    )
    route = HostTable().route(http)
    assert route is not None
    assert not isinstance(route.answers, HostApp)
    with pytest.raises(BadRequest) as caught:
        route.answers.decode(route.http, now=0)
    assert caught.value.unserved
    assert b"wavetank doesn't serve POST" in caught.value.reply.body
