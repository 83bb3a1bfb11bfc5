"""What goes into a batch and what comes out of it: items, strategies, results."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar, final, overload, runtime_checkable

from .errors.failure import LimitMet
from .limits import RateInfo

D_co = TypeVar("D_co", covariant=True)
T_co = TypeVar("T_co", covariant=True)


@final
@dataclass(frozen=True, slots=True)
class LLMWorkItem(Generic[D_co]):
    """A unit of work: an id that no other item of the batch has, a prompt, and data of the caller's own.

    `strategy` sends this item in place of the processor's own: an `LLMCallStrategy` or an async
    function of the prompt. Items may share one; it is prepared once.

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
    """What a call may return in place of its bare value, to report what it took and what it was told.

    `cost` is in whatever currency the run's budget is in. `info` is what the answer tells of
    the provider's limits; `rate_info` reads it from an answer's headers.
    """

    value: T_co
    usage: TokenUsage = TokenUsage()
    cost: float = 0.0
    info: RateInfo | None = None


@runtime_checkable
class LLMCallStrategy(Protocol[T_co]):
    """How items are put to a provider: any object with these three methods.

    A subclass needs only `execute`. One that has an attribute `scope` has a gate of its own
    under that key, together with the other strategies that name the same.
    """

    async def prepare(self) -> None:
        """Get ready; awaited once before the first item, however many workers, items, processors share it."""
        return

    @abstractmethod
    async def execute(self, item: LLMWorkItem[Any]) -> T_co | CallResult[T_co]:
        """Send one request for the item; raise what the provider's client raises, and do not retry."""
        ...

    async def cleanup(self) -> None:
        """Give back what `prepare` took; awaited once on leaving the last `async with`, also after errors."""
        return


ItemStrategy = LLMCallStrategy[Any] | Callable[[str], Awaitable[Any]]
"""What may send an item in place of the processor's own strategy."""


@final
@dataclass(frozen=True, slots=True)
class ItemResult(Generic[T_co]):
    """The outcome of one item: a value, or an error with the reason why it was not tried again.

    `attempts` counts the requests made for it. `usage` and `cost` are what the successful one
    reported. `cause` says why it failed in words that other items may share, and `limit` names
    the rate limit of which it failed, if it was one; `seconds` is how long it took from when it
    was taken up, and `recalled` says whether an earlier run did the work.
    `unfinished` says that it is no outcome: the run left the item, or its scope was closed;
    neither store nor sinks hear of it, and a run that resumes sends it.
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
