"""A vendor's card: what must be known of a vendor before its wire format is imported."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, Literal, final

import msgspec

from ..clock import SECOND
from ..scenario import RefusalError, Wave, refusal_error, usual_status

COMPATIBLE: Final = "wavetank.provider.vendors.openai.compatible"
"""The wire module of vendors that speak OpenAI's format."""

ResetForm = Literal["duration", "seconds", "unix", "rfc3339", "none"]
"""How a header states when a limit is whole again: `6m0s`, `360`, the Unix time, a date, not at all."""


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
        base_paths: what stands before the endpoints' own paths, such as `/v1`.
        statuses: the vendor's own statuses, where the usual one of an error is another.
        over_limit: statuses of requests over a limit, where that is not 429.
        keep_alive: what is sent in a stream while its first token is still to come.
        keep_alive_every: nanoseconds between two of them.
        request_id: the response header with the number of a request.
        limit_headers: for each kind of limit, by its name in `LimitState`, the names of its
            headers with `{field}` in the place of `limit`, `remaining` and `reset`.
        reset: how those headers state when a limit is whole again.
        limits_on_refusals: limit headers are sent with refusals only.
        error_body: the shape of an error: OpenAI's object, `{"error": text}`, `{"message": text}` or
            `{"detail": text}`.
        errors: message, type and code of refusals by what is wrong; the rest is generic.
        status_texts: the same by status, for a plain rate limit and for keys and paths that are wrong.
        needs_key: a request without a key is refused.
        models: names for the list of models.
        reasoning: the field in which the vendor shows what a model thinks, beside the content.
        reasoners: shell patterns of models that always think.
        serves: the endpoints: `chat`, `completions`, `embeddings`, `responses`, `models`.
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
    statuses: Mapping[RefusalError, int] = {}
    over_limit: Mapping[RefusalError, int] = {}
    keep_alive: bytes = b""
    keep_alive_every: int = SECOND

    request_id: str = "x-request-id"
    limit_headers: Mapping[str, str] = {}
    reset: ResetForm = "duration"
    limits_on_refusals: bool = False
    error_body: Literal["openai", "error", "message", "detail"] = "openai"
    errors: Mapping[RefusalError, tuple[str, ...]] = {}
    status_texts: Mapping[int, tuple[str, ...]] = {}
    needs_key: bool = True
    reasoning: str = "reasoning_content"
    reasoners: tuple[str, ...] = ()
    models: tuple[str, ...] = ("fake-model",)
    serves: tuple[str, ...] = ("chat", "completions", "embeddings", "models")

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
