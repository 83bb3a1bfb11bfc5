"""The items of a batch, the strategies that send them, and their results."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar, final, overload, runtime_checkable

from .errors.request_failure import LimitMet
from .limits import RateInfo

D_co = TypeVar("D_co", covariant=True)
T_co = TypeVar("T_co", covariant=True)


@final
@dataclass(frozen=True, slots=True)
class LLMWorkItem(Generic[D_co]):
    """A unit of work: an id that is unique in the batch, a prompt, and any data of the caller.

    `strategy` sends this item in place of the processor's own strategy: an `LLMCallStrategy` or
    an async function of the prompt. Items may share one; it is prepared once.

    >>> LLMWorkItem(id="row-1", prompt="Translate: wave", data={"row": 1}).id
    'row-1'
    """

    id: str
    prompt: str
    data: D_co | None = None
    strategy: ItemStrategy | None = field(default=None, kw_only=True, compare=False)

    if TYPE_CHECKING:

        @overload
        def __init__(
            self: LLMWorkItem[None], id: str, prompt: str, *, strategy: ItemStrategy | None = None
        ) -> None: ...
        @overload
        def __init__(
            self, id: str, prompt: str, data: D_co, *, strategy: ItemStrategy | None = None
        ) -> None: ...
        def __init__(
            self, id: str, prompt: str, data: Any = None, *, strategy: ItemStrategy | None = None
        ) -> None: ...


@final
@dataclass(frozen=True, slots=True)
class Attempt:
    """What is known before a request of an item is sent.

    `number` counts the requests of the item from 1. `errors` are those that count against
    `max_attempts`, and `invalid` are the answers that `validate` refused. `last_error` is why
    the latest request was in vain, also for a rate limit.
    """

    number: int
    errors: int = 0
    invalid: int = 0
    last_error: BaseException | None = None


@final
@dataclass(frozen=True, slots=True)
class TokenUsage:
    """Tokens that calls were charged for.

    >>> (TokenUsage(10, 2) + TokenUsage(5, 1)).total
    18
    """

    input_tokens: int = 0
    output_tokens: int = 0

    @property
    def total(self) -> int:
        """Input and output tokens together."""
        return self.input_tokens + self.output_tokens

    def __add__(self, other: TokenUsage) -> TokenUsage:
        return TokenUsage(self.input_tokens + other.input_tokens, self.output_tokens + other.output_tokens)


@final
@dataclass(frozen=True, slots=True)
class CallResult(Generic[T_co]):
    """What a call may return in place of its bare value, to report tokens, cost and limits.

    `cost` is in the currency of `Bounds.cost`. `info` has the limits that the answer states;
    `rate_info` reads them from its headers.
    """

    value: T_co
    usage: TokenUsage = TokenUsage()
    cost: float = 0.0
    info: RateInfo | None = None


@runtime_checkable
class LLMCallStrategy(Protocol[T_co]):
    """How items are sent to a provider: any object with these three methods.

    A subclass needs only `execute`. A strategy with an attribute `scope` has its own gate
    under that key, which it shares with other strategies of the same scope.
    """

    async def prepare(self) -> None:
        """Get ready; awaited once before the first item, also if several processors share the strategy."""
        return

    @abstractmethod
    async def execute(self, item: LLMWorkItem[Any]) -> T_co | CallResult[T_co]:
        """Send one request for the item; let the errors of the provider's client pass, and do not retry."""
        ...

    async def cleanup(self) -> None:
        """Undo `prepare`; awaited once when the last `async with` ends, also after errors."""
        return


ItemStrategy = LLMCallStrategy[Any] | Callable[[str], Awaitable[Any]]
"""The types of `LLMWorkItem.strategy`."""


@final
@dataclass(frozen=True, slots=True)
class ItemResult(Generic[T_co]):
    """The result of one item: a value, or an error with the reason why it was not tried again.

    `attempts` counts the requests made for it. `usage` and `cost` are those of its answer, and
    of answers before it that were not valid. `cause` says why it failed in a form that is equal
    for all items with the same cause. `limit` is the rate limit that made it fail, if it was
    one. `seconds` is how long it took from its start. `recalled` says that the outcome is from
    an earlier run. `unfinished` says that this is no outcome: the run was stopped, or the
    item's scope was closed. It is given to neither store nor sinks, and a run that resumes
    sends the item.
    """

    id: str
    value: T_co | None = None
    error: BaseException | None = None
    attempts: int = 0
    reason: str | None = None
    usage: TokenUsage = TokenUsage()
    cost: float = field(default=0.0, kw_only=True)
    cause: str | None = field(default=None, kw_only=True, compare=False)
    seconds: float = field(default=0.0, kw_only=True, compare=False)
    recalled: bool = field(default=False, kw_only=True, compare=False)
    unfinished: bool = field(default=False, kw_only=True, compare=False)
    limit: LimitMet | None = field(default=None, kw_only=True, compare=False)
