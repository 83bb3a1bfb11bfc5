"""Predictions: they are made, looked at until they are done, cancelled, and read as a stream.

Source: the HTTP reference of replicate.com/docs ("predictions.create", "predictions.get") and its page on
streaming; models as in `replicate.model.Model`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, final

import msgspec

from ....clock import SECOND
from ...dialect_base.shared import (
    EVENT_STREAM,
    JSON,
    InvalidRequest,
    Values,
    as_mapping,
    empty_request,
    json_object,
    text_request,
    whole_number,
)
from ...dialect_base.wire_dialect import AnswerPart, OwnHead, UnstreamedEndpoint
from ...http import Headers, HttpRequest
from ...model import Reply
from ...request import Request
from ...wire_formats import hexadecimal, json_bytes, rfc3339

API: Final = "https://api.replicate.com/v1/predictions"
_STREAM: Final = "https://stream.replicate.com/v1/predictions"
_PROMPTS: Final = ("prompt", "text", "input", "message", "query")
"""Where models have what they are asked, the likeliest first."""
_LONGEST: Final = ("max_tokens", "max_new_tokens", "max_length", "max_completion_tokens")
_ID: Final = 26
"""The length of an id, in letters and digits."""
_KEPT: Final = "replicate:"

Status = Literal["starting", "processing", "succeeded", "canceled"]


@final
class Prediction(msgspec.Struct):
    """One prediction of a run; `created` and `done` are instants in nanoseconds."""

    id: str
    model: str
    version: str
    input: Mapping[str, Any]
    output: tuple[str, ...]
    created: int
    done: int
    tokens: tuple[int, int]
    canceled: int | None = None

    def status(self, now: int) -> Status:
        """Where it stands at an instant."""
        if self.canceled is not None:
            return "canceled"
        return "succeeded" if now >= self.done else "processing" if now > self.created else "starting"

    def shown(self, now: int, epoch_ns: int) -> Values:
        """What a client sees of it at an instant."""
        status, ends = self.status(now), self.done if self.canceled is None else self.canceled
        is_over = status in ("succeeded", "canceled")
        spent, made = self.tokens
        took = (ends - self.created) / SECOND
        metrics = {
            "predict_time": took,
            "total_time": took,
            "input_token_count": spent,
            "output_token_count": made,
        }
        return {
            "id": self.id,
            "model": self.model,
            "version": self.version,
            "input": self.input,
            "logs": "",
            "output": list(self.output) if status == "succeeded" else None,
            "data_removed": False,
            "error": None,
            "status": status,
            "created_at": rfc3339(epoch_ns + self.created),
            "started_at": None if status == "starting" else rfc3339(epoch_ns + self.created),
            "completed_at": rfc3339(epoch_ns + ends) if is_over else None,
            "metrics": metrics if is_over else {},
            "urls": {
                "get": f"{API}/{self.id}",
                "cancel": f"{API}/{self.id}/cancel",
                "stream": f"{_STREAM}/{self.id}/stream",
                "web": f"https://replicate.com/p/{self.id}",
            },
        }


def _found(page: AnswerPart) -> Prediction | None:
    kept = page.request.kept.get(_KEPT + page.request.payload["id"])
    return kept if isinstance(kept, Prediction) else None


# -- to make one -----------------------------------------------------------------------------------


@final
@dataclass(frozen=True, slots=True)
class CreatePrediction(OwnHead):
    """`POST /v1/predictions`, `/v1/models/{owner}/{name}/predictions` and the same of deployments.

    With `Prefer: wait` the answer comes when the prediction is done, as late as that may be. Without, the
    answer is a prediction that has been started; it is done as long after that as the scenario's latency.
    """

    path: re.Pattern[str]
    name: str = "predictions"
    method: str = "POST"
    streams_as: str = EVENT_STREAM

    def read(self, request: HttpRequest, found: re.Match[str]) -> Request:
        """Read a request; see `Endpoint.read`."""
        payload = json_object(request.body)
        if payload is None:
            raise InvalidRequest(400, "The request body is no JSON object.")
        asked = payload.get("input")
        if not isinstance(asked, dict):
            raise InvalidRequest(422, "- input is required")
        model = found.groupdict().get("model") or payload.get("version")
        if not isinstance(model, str) or not model:
            raise InvalidRequest(422, "- version is required")
        longest = next((asked[name] for name in _LONGEST if whole_number(asked.get(name))), None)
        messages: list[Mapping[str, Any]] = [{"role": "user", "content": _prompt(asked)}]
        system = asked.get("system_prompt")
        return text_request(
            request,
            payload,
            messages,
            model=model,
            max_tokens=longest,
            system=system if isinstance(system, str) else "",
            stream=False,
        )

    def status(self, page: AnswerPart) -> int:
        """201: it has been made."""
        return 201

    def headers(self, page: AnswerPart) -> Headers:
        """Whether the client's wish to wait was granted (RFC 7240)."""
        prefers = page.request.headers.get("prefer", "")
        return (("preference-applied", prefers),) if prefers.startswith("wait") else ()

    def plain(self, page: AnswerPart) -> bytes:
        """The prediction, as far as it is."""
        request, now = page.request, page.reply.at
        waits = request.headers.get("prefer", "").startswith("wait")
        version = request.payload.get("version")
        named = "/" in request.model
        made = Prediction(
            id=page.digits(_ID),
            model=request.model.partition(":")[0] if named else "",
            version=version if isinstance(version, str) else "hidden",
            input=request.payload["input"],
            output=page.content.pieces_of("text"),
            created=page.began if waits else now,
            done=now if waits else now + page.took,
            tokens=(page.answer.prompt_tokens, page.answer.completion_tokens),
        )
        request.kept[_KEPT + made.id] = made
        shown = made.shown(now, page.epoch_ns)
        return json_bytes(shown if waits else shown | _STARTING)

    def part(self, page: AnswerPart) -> bytes:
        """It is never streamed itself."""
        return self.plain(page)

    def failure(self, body: Any, request: Request, reply: Reply, epoch_ns: int) -> bytes:
        """The error as it is."""
        return json_bytes(body)


_STARTING: Final[Values] = {
    "status": "starting",
    "output": None,
    "started_at": None,
    "completed_at": None,
    "metrics": {},
}


def _prompt(asked: Mapping[str, Any]) -> str:
    """What the model is asked: the likeliest field, or else the first text that there is."""
    names = (*_PROMPTS, *asked)
    return next((asked[name] for name in names if isinstance(asked.get(name), str)), "")


# -- to look at one --------------------------------------------------------------------------------


@final
@dataclass(frozen=True, slots=True)
class GetPrediction(UnstreamedEndpoint):
    """`GET /v1/predictions/{id}`, and with the method `POST` its `/cancel`."""

    path: re.Pattern[str]
    cancels: bool = False
    name: str = "get-prediction"
    method: str = "GET"

    def read(self, request: HttpRequest, found: re.Match[str]) -> Request:
        """Read a request; see `Endpoint.read`."""
        return empty_request(query={"id": found["id"]})

    def status(self, page: AnswerPart) -> int:
        """404 where there is none of that id in this run."""
        return 404 if _found(page) is None else 200

    def plain(self, page: AnswerPart) -> bytes:
        """The prediction, as far as it is."""
        prediction, now = _found(page), page.reply.at
        if prediction is None:
            return json_bytes(_MISSING)
        if self.cancels and prediction.status(page.began) in ("starting", "processing"):
            prediction.canceled = page.began
        return json_bytes(prediction.shown(now, page.epoch_ns))


_MISSING: Final = {"title": "Not Found", "detail": "Prediction not found.", "status": 404}


@final
@dataclass(frozen=True, slots=True)
class ListPredictions(UnstreamedEndpoint):
    """`GET /v1/predictions`: those of this run, the last one first, on one page."""

    path: re.Pattern[str]
    name: str = "list-predictions"
    method: str = "GET"

    def read(self, request: HttpRequest, found: re.Match[str]) -> Request:
        """Read a request; see `Endpoint.read`."""
        return empty_request()

    def plain(self, page: AnswerPart) -> bytes:
        """The list."""
        kept = [each for each in page.request.kept.values() if isinstance(each, Prediction)]
        shown = [each.shown(page.reply.at, page.epoch_ns) for each in reversed(kept)]
        return json_bytes({"previous": None, "next": None, "results": shown})


@final
@dataclass(frozen=True, slots=True)
class StreamPrediction(UnstreamedEndpoint):
    """`GET https://stream.replicate.com/…`: the output of a prediction as events, all at once."""

    path: re.Pattern[str]
    name: str = "stream-prediction"
    method: str = "GET"

    def read(self, request: HttpRequest, found: re.Match[str]) -> Request:
        """Read a request; see `Endpoint.read`."""
        return empty_request(query={"id": found["id"]})

    def status(self, page: AnswerPart) -> int:
        """404 where there is none of that id in this run."""
        return 404 if _found(page) is None else 200

    def content_type(self, page: AnswerPart) -> str:
        """Events."""
        return JSON if _found(page) is None else EVENT_STREAM

    def plain(self, page: AnswerPart) -> bytes:
        """The pieces, and that they are all."""
        prediction = _found(page)
        if prediction is None:
            return json_bytes(_MISSING)
        prediction.done = min(prediction.done, page.reply.at)
        pieces = "".join(_event("output", nth, piece) for nth, piece in enumerate(prediction.output, start=1))
        return f"{pieces}{_event('done', len(prediction.output) + 1, '{}')}".encode()


def _event(kind: str, number: int, data: str) -> str:
    lines = "\n".join(f"data: {line}" for line in data.split("\n"))
    return f"event: {kind}\nid: {number}:0\n{lines}\n\n"


# -- models ----------------------------------------------------------------------------------------


@final
@dataclass(frozen=True, slots=True)
class GetModel(UnstreamedEndpoint):
    """`GET /v1/models/{owner}/{name}`, and one of its versions: an output of a language model's."""

    path: re.Pattern[str]
    name: str = "model"
    method: str = "GET"

    def read(self, request: HttpRequest, found: re.Match[str]) -> Request:
        """Read a request; see `Endpoint.read`."""
        return empty_request(found["model"], {"version": found["version"] or ""})

    def plain(self, page: AnswerPart) -> bytes:
        """The model or the version."""
        model, named = page.request.model, page.request.payload["version"]
        version = _version(named or hexadecimal(64, "replicate", model), page)
        if named:
            return json_bytes(version)
        owner, _, name = model.partition("/")
        empty = ("github_url", "paper_url", "license_url", "cover_image_url", "default_example")
        body: Values = {
            "url": f"https://replicate.com/{model}",
            "owner": owner,
            "name": name,
            "description": None,
            "visibility": "public",
            "run_count": 1,
            "latest_version": version,
        }
        return json_bytes(body | dict.fromkeys(empty))


def _version(ident: str, page: AnswerPart) -> Values:
    text = {"type": "string"}
    output = {"type": "array", "items": text, "x-cog-array-type": "iterator"}
    asked = {"type": "object", "properties": {"prompt": text}}
    return {
        "id": ident,
        "created_at": rfc3339(page.epoch_ns),
        "cog_version": "0.14.0",
        "openapi_schema": {
            "openapi": "3.0.2",
            "components": {"schemas": {"Input": as_mapping(asked), "Output": output}},
        },
    }
