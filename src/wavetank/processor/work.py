"""What goes into a batch and what comes out of it: items, strategies, results."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar, final, overload, runtime_checkable

D_co = TypeVar("D_co", covariant=True)
T_co = TypeVar("T_co", covariant=True)


@final
@dataclass(frozen=True, slots=True)
class LLMWorkItem(Generic[D_co]):
    """A unit of work: an id that no other item of the batch has, a prompt, and data of the caller's own.

    >>> LLMWorkItem(id="row-1", prompt="Translate: wave", data={"row": 1}).id
    'row-1'
    """

    id: str
    prompt: str
    data: D_co | None = None

    if TYPE_CHECKING:

        @overload
        def __init__(self: LLMWorkItem[None], id: str, prompt: str) -> None: ...
        @overload
        def __init__(self, id: str, prompt: str, data: D_co) -> None: ...
        def __init__(self, id: str, prompt: str, data: Any = None) -> None: ...


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
    """What a call may return in place of its bare value, to report the tokens it took."""

    value: T_co
    usage: TokenUsage = TokenUsage()


@runtime_checkable
class LLMCallStrategy(Protocol[T_co]):
    """How items are put to a provider: any object with these three methods.

    A subclass needs only `execute`.
    """

    async def prepare(self) -> None:
        """Get ready; awaited once, before the first item, however many workers share the strategy."""
        return

    @abstractmethod
    async def execute(self, item: LLMWorkItem[Any]) -> T_co | CallResult[T_co]:
        """Send one request for the item; raise what the provider's client raises, and do not retry."""
        ...

    async def cleanup(self) -> None:
        """Give back what `prepare` took; awaited once on leaving `async with`, also after an error."""
        return


@final
@dataclass(frozen=True, slots=True)
class ItemResult(Generic[T_co]):
    """The outcome of one item: a value, or an error with the reason why it was not tried again.

    `attempts` counts the requests made for it. `usage` is what the successful one reported.
    """

    id: str
    value: T_co | None = None
    error: BaseException | None = None
    attempts: int = 0
    reason: str | None = None
    usage: TokenUsage = TokenUsage()


@final
@dataclass(frozen=True, slots=True)
class BatchResult(Generic[T_co]):
    """The outcome of a batch, its results in the order in which the items were added.

    `seconds` is how long `process_all` took; `first_result_seconds` is when the first
    outcome came, counted from the same start, `None` for an empty batch.
    """

    results: tuple[ItemResult[T_co], ...]
    seconds: float
    first_result_seconds: float | None

    @property
    def succeeded(self) -> int:
        """How many items have a value."""
        return len(self.results) - self.failed

    @property
    def failed(self) -> int:
        """How many items have an error."""
        return sum(result.error is not None for result in self.results)

    @property
    def usage(self) -> TokenUsage:
        """The tokens of all successful calls that reported any."""
        return sum((result.usage for result in self.results), TokenUsage())
