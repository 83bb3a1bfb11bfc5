"""The direct call: a prompt in, a completion or a `ProviderError` out, no HTTP between."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, final

from ..clock import SECOND
from ..provider.answer_texts import count_tokens
from ..provider.faults import damage_of
from ..provider.model import Outcome, Refusal, Reply, Success
from ..provider.request import Request
from ..scenario import Finish, RefusalError, ToolCall, Usage
from .desk import Desk
from .errors import (
    ConnectionLost,
    MalformedAnswer,
    Overloaded,
    ProviderError,
    QuotaExhausted,
    RateLimited,
    RequestTooLarge,
    ServerError,
)

DEFAULT_MODEL: Final = "fake-model"
DEFAULT_KEY: Final = "fake-key"

_BY_ERROR: Final[dict[RefusalError, type[ProviderError]]] = {
    "quota": QuotaExhausted,
    "billing": QuotaExhausted,
    "too-large": RequestTooLarge,
    "overloaded": Overloaded,
    "server": ServerError,
    "ramp": RateLimited,
    "throttle": RateLimited,
    "timeout": ProviderError,
    "conflict": ProviderError,
}


@final
@dataclass(frozen=True, slots=True)
class Completion:
    """The answer to a direct call."""

    text: str
    usage: Usage
    tool_calls: tuple[ToolCall, ...] = field(default=(), repr=False, kw_only=True)
    reasoning: str = field(default="", repr=False, kw_only=True)
    finish: Finish = field(default="stop", repr=False, kw_only=True)


async def call(
    desk: Desk,
    prompt: str,
    *,
    item: str | None = None,
    model: str = DEFAULT_MODEL,
    key: str = DEFAULT_KEY,
    max_tokens: int | None = None,
) -> Completion:
    """Ask the fake on asyncio or trio.

    Raises:
        ProviderError: the subclass that fits the refusal or fault.
    """
    request = Request(
        model=model,
        item=item if item is not None else prompt or None,
        declared=item is not None,
        prompt=prompt,
        prompt_tokens=count_tokens(prompt),
        max_tokens=max_tokens,
        secret=key,
    )
    return _completion(await answered(desk, request))


async def answered(desk: Desk, request: Request) -> Success:
    """Send a request on asyncio or trio, and wait for its answer.

    Raises:
        ProviderError: the subclass that fits the refusal or fault.
    """
    desk.admit()
    try:
        desk.connect("")
    except OSError as error:
        raise ConnectionLost(error.strerror or str(error), status=0) from error
    sent, origin = desk.clock.now(), desk.origin()
    ended = desk.waits.event()
    replies: list[Reply] = []

    def deliver(reply: Reply) -> None:
        replies.append(reply)
        ended.set()

    record = desk.open(request, sent=sent, deliver=deliver, origin=origin)
    try:
        await ended.wait()
    except BaseException:
        desk.leave(record)
        raise
    outcome = replies[-1].outcome
    if lost := _lost(outcome):
        desk.leave(record)
        raise lost
    desk.reached(record, whole=isinstance(outcome, Success))
    if isinstance(outcome, Refusal):
        raise _error(outcome)
    return outcome


def _lost(outcome: Outcome) -> ProviderError | None:
    """The error of an answer that never reaches the client whole."""
    fault = outcome.fault if isinstance(outcome, Success) else None
    done = damage_of(fault) if fault is not None else "none"
    if fault is None or done == "none":
        return None
    if done == "lost":
        return ConnectionLost("the connection broke before the answer was whole", status=0)
    if done == "unreadable":
        return MalformedAnswer(f"the answer cannot be read: {fault.kind}", status=200)
    error = _BY_ERROR.get(fault.error or "server", RateLimited)
    return error(f"the answer broke off with an error: {fault.error or 'server'}", status=200)


def _completion(outcome: Success) -> Completion:
    content, usage = outcome.content, Usage(outcome.prompt_tokens, outcome.completion_tokens)
    if len(content.blocks) == 1 and content.blocks[0].kind == "text":
        return Completion(content.text, usage, finish=content.finish)  # nearly all of them
    return Completion(
        content.text,
        usage,
        tool_calls=tuple(ToolCall(call.name, call.text) for call in content.calls),
        reasoning=content.reasoning,
        finish=content.finish,
    )


def _error(refusal: Refusal) -> ProviderError:
    wait = refusal.retry_after.value / SECOND if refusal.retry_after is not None else None
    wait_text = f", retry after {wait:g} s" if wait is not None else ""
    message = refusal.message or f"{refusal.status} for {refusal.scope} ({refusal.reason}){wait_text}"
    return _error_type(refusal)(message, status=refusal.status, retry_after=wait)


def _error_type(refusal: Refusal) -> type[ProviderError]:
    """By what the refusal says is wrong; where that is a plain limit, only a 429 is known as one."""
    if refusal.invalid:
        return ProviderError
    plain = RateLimited if refusal.status == 429 else ProviderError
    return _BY_ERROR.get(refusal.error, plain)
