"""A vendor's card: what must be known of a vendor before its wire format is imported."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, Literal, final

import msgspec

from ..clock import SECOND
from ..scenario import RefusalError, Wave, refusal_error, usual_status
from .card_mistakes import mistakes_in

COMPATIBLE: Final = "wavetank.provider.vendors.openai.compatible"
"""The wire module of vendors that use OpenAI's format."""

ResetForm = Literal["duration", "seconds", "decimal-seconds", "unix", "rfc3339"]
"""How a header states when a limit is whole again: `6m0s`, `360`, `359.5`, the Unix time, a date."""

OPENAI_ERROR: Final[Mapping[str, Any]] = {
    "error": {"message": "{message}", "type": "{type}", "param": "{param}", "code": "{code}"}
}
"""The shape of OpenAI's errors."""


@final
class VendorCard(msgspec.Struct, frozen=True, kw_only=True):
    """Where a vendor is found, how its clients are recognized, and what it has of its own.

    Without a `wire` the vendor speaks OpenAI's format, and the second group of fields says where its
    headers, errors and paths are its own.

    Args:
        name: a short name, such as `groq`; it is also the name of the vendor's dialect.
        hosts: shell patterns; one with a port is for that port, the others for any.
        wire: the module whose function `wire(card)` makes the dialect, or that function itself. The
            module is imported when the dialect is first used.
        paths: beginnings of paths that no other vendor has, by which a request to an address of our own
            is recognized.
        headers: request headers, in lower case, that only this vendor's clients send.
        key_header: the header with the API key; without one the key is a bearer token.
        key_variables: environment variables from which the vendor's clients read their key. Each is
            set to `dummy_key` where it is unset.
        key_aliases: other variables for the same key; where one is set, none is added.
        dummy_key: what stands in the place of a key.
        url_variables: environment variables from which the vendor's clients read its address, each with
            the path that comes behind the address of a server that answers for all vendors.
        base_paths: what stands before the endpoints' own paths, such as `/v1`; a `*` is any one part.
        behind: the dialects of a gateway's other paths, by what stands before those, with `*` as well.
        statuses: the vendor's own statuses by what is wrong, where the usual one is another. There are
            `rate-limit`, `too-large`, `quota`, `billing`, `ramp`, `throttle`, `overloaded`, `server`,
            `timeout` and `conflict`.
        over_limit: the same for requests over a limit, where that is not 429.
        keep_alive: what is sent in a stream while its first token is still to come.
        keep_alive_every: nanoseconds between two of them.
        endpoint_paths: whole paths of endpoints that are elsewhere, by the endpoint's name.
        response_headers: headers of every response; `{number}` is the number of the request, and `{took}`
            the milliseconds from its arrival.
        refusal_headers: headers of a rate limit; `{code}` is that of the error, and `{wait}` the seconds
            of its Retry-After.
        limit_headers: for each kind of limit (`requests`, `tokens`, `input_tokens`, `output_tokens`,
            `requests_per_day`, `tokens_per_day`) the names of its headers, with `{field}` in the
            place of a word of `limit_fields`; it may be missing where one field is stated.
        limit_fields: which of `limit`, `remaining` and `reset` are stated.
        reset: how a reset is stated.
        limits_on: which responses state limits.
        error_body: the shape of an error, as JSON. A string such as `"{message}"` is replaced; there are
            `{message}`, `{type}`, `{param}`, `{code}`, `{code-number}`, `{status}`, `{status-text}`,
            `{title}` (the status in words) and `{number}` (that of the request). A message that is empty
            is left out.
        stream_error: the shape of an error in a stream, where it is another; `"{error}"` is that shape.
        errors: message, type, code and parameter of a refusal, by what is wrong (as in `statuses`) or by
            the limit that was hit: `requests`, `input-tokens`, `output-tokens` and `tokens` (which also
            stands for those two), `requests-per-day`, `tokens-per-day`, `concurrent`, `ramp`, `penalty`;
            the rest is generic. A message may have `{model}`,
            `{limit}`, `{used}`, `{unit}` (what the limit is for: `minute`) and `{wait}`, the seconds of the
            Retry-After.
        status_texts: the same by status, for a plain rate limit and for a key that is missing (401).
        unknown_path: the same for a path that the vendor does not have; with `{method}` and `{path}`.
        unknown_path_status: the status of that.
        needs_key: a request without a key is refused.
        models: names for the list of models.
        reasoning: the field in which the vendor shows what a model thinks, beside the content.
        reasoners: shell patterns of models that always think.
        serves: the endpoints: `chat`, `completions`, `embeddings`, `responses`, `rerank`, `models`,
            `moderations`, `images`, `image-edits`, `image-variations`, `transcriptions`, `translations`,
            `speech`.
        rerank_list: the name of the list in the answer of a reranker.
        answer_fields: more fields of chat completions, by their place: `body` (an answer or a chunk of a
            stream), `plain` (an answer that is not streamed) and `delta`.
        whole_calls: a stream has a tool call in one chunk instead of pieces.
        numbered_calls: tool calls have their index in plain answers, too.
        pings: paths that are answered with 200 and an empty text, as JSON, and count as no request.

    Raises:
        ValueError: a field has what it can't have; the text names the vendor and the field.
    """

    name: str
    hosts: tuple[str, ...]
    wire: str | Callable[[VendorCard], Any] = COMPATIBLE
    paths: tuple[str, ...] = ()
    headers: tuple[str, ...] = ()
    key_header: str = ""
    key_variables: tuple[str, ...] = ()
    key_aliases: tuple[str, ...] = ()
    dummy_key: str = "wavetank"
    url_variables: Mapping[str, str] = {}
    base_paths: tuple[str, ...] = ("/v1",)
    behind: Mapping[str, str] = {}
    statuses: Mapping[RefusalError, int] = {}
    over_limit: Mapping[RefusalError, int] = {}
    keep_alive: bytes = b""
    keep_alive_every: int = SECOND

    endpoint_paths: Mapping[str, str] = {}
    response_headers: Mapping[str, str] = msgspec.field(default_factory=lambda: {"x-request-id": "{number}"})
    refusal_headers: Mapping[str, str] = {}
    limit_headers: Mapping[str, str] = {}
    limit_fields: tuple[str, ...] = ("limit", "remaining", "reset")
    reset: ResetForm = "duration"
    limits_on: Literal["all", "answers", "refusals"] = "all"
    error_body: Mapping[str, Any] = msgspec.field(default_factory=lambda: OPENAI_ERROR)
    stream_error: Mapping[str, Any] = {}
    errors: Mapping[str, tuple[str, ...]] = {}
    status_texts: Mapping[int, tuple[str, ...]] = {}
    unknown_path: tuple[str, ...] = ("Not Found", "invalid_request_error", "not_found")
    unknown_path_status: int = 404
    needs_key: bool = True
    reasoning: str = "reasoning_content"
    reasoners: tuple[str, ...] = ()
    models: tuple[str, ...] = ("fake-model",)
    serves: tuple[str, ...] = ("chat", "completions", "embeddings", "models")
    rerank_list: Literal["results", "data"] = "results"
    answer_fields: Mapping[str, Mapping[str, Any]] = {}
    whole_calls: bool = False
    numbered_calls: bool = False
    pings: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for field, wrong in mistakes_in(msgspec.structs.asdict(self)):
            raise ValueError(f"VendorCard {self.name!r}, {field}: {wrong}")

    def status_of_error(self, error: RefusalError) -> int:
        """The status with which the vendor says that something is wrong."""
        return self.statuses.get(error) or usual_status(error)

    def status_of_wave(self, wave: Wave) -> int:
        """The status of a wave's refusals: as written, else the vendor's own for the error."""
        return self.status_of_error(refusal_error(wave)) if wave.status is None else wave.status

    def status_over_limit(self, error: RefusalError) -> int:
        """The status of a request that is over a limit."""
        return self.over_limit.get(error, 429)

    def waits_before(self, begun: int, start: int) -> int:
        """How often a stream is kept alive before its first token, which comes at `start`."""
        return max(0, start - begun - 1) // self.keep_alive_every if self.keep_alive else 0

    def __repr__(self) -> str:
        return f"<VendorCard {self.name} at {', '.join(self.hosts)}>"


DIRECT: Final = VendorCard(name="direct", hosts=(), needs_key=False)
"""What a direct call is answered by: no vendor in particular."""
