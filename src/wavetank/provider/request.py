"""One request, as every layer knows it: from its way in to the report."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, final

import msgspec

from .answer_texts import own_answer
from .model import Made
from .schema_answers import Form
from .vendor_card import DIRECT, VendorCard


class _Nothing(dict[str, Any]):
    """A mapping that stays empty, of a type that JSON can write."""

    def __setitem__(self, key: str, value: object) -> None:
        raise TypeError("a direct call has no body and no headers")


NOTHING: Final[Mapping[str, Any]] = _Nothing()
"""One empty mapping for all requests: a new one for each would cost more than the rest of its making."""


Action = Callable[[Any, "Request", int], Made]
"""Does with the provider's `BatchService`, at an instant, what a request wants; raises `InvalidRequest`."""


@final
class Request(msgspec.Struct, kw_only=True):
    """One attempt on an item.

    A way in reads it, by the dialect of the host or from the arguments of a direct call; the desk then
    gives it its `id` and its `key`, asks `item_of` about its item, and masks its `headers`.

    `id` counts the requests of a run from 1. `item` is the identity that the client declared, or else
    the one inferred from the last user message; `declared` says which. It is `None` only when the request
    carries no text to infer one from. `prompt` is the text of that message and `prompt_tokens`
    counts all messages, or is what the usage of the answer says. `reasoning`: the model is asked to think
    before it answers. `payload` is the decoded body, and `headers` have lower-case names; both are
    empty in a direct call. `copies` is how many answers are wanted at once. `key` is the label of the API
    key, such as `key-1`, and `secret` the API key itself, which is shown nowhere. `card` is the vendor's.
    `arrived` is the instant of the arrival, `None` when it is not known. `answer_tokens` is what the
    answer is charged for, once that is known. `generates`: the answer is a generated text, and not a list
    of models, an embedding or a count of tokens. `action` is what the request does with what the provider
    keeps (files and batches); `None` asks a model. `target` names the request if nothing is paid for it, as
    in `GET /v1/batches`: it has an action, or wants something else that is free, such as a count of tokens.
    A line of a batch has the id of its `batch` and its `custom_id`. `kept` is what its vendor keeps from one
    request of the run to the next.
    """

    model: str
    item: str | None
    declared: bool
    prompt: str
    prompt_tokens: int
    max_tokens: int | None = None
    stream: bool = False
    copies: int = 1
    payload: Mapping[str, Any] = NOTHING
    headers: Mapping[str, str] = NOTHING
    form: Form | None = None
    reasoning: bool = False
    generates: bool = True
    card: VendorCard = DIRECT
    endpoint: str = ""
    host: str = ""
    arrived: int | None = None
    answer_tokens: int | None = None
    id: int = 0
    key: str = ""
    secret: str = ""
    action: Action | None = None
    target: str = ""
    batch: str | None = None
    custom_id: str | None = None
    path: str = ""
    kept: dict[str, Any] = {}

    @property
    def cost(self) -> int:
        """The tokens that are reserved on arrival: the prompt, and the longest answers it allows."""
        longest = self.max_tokens
        if longest is None:
            longest = len(own_answer(self.item)) if self.answer_tokens is None else self.answer_tokens
        return self.prompt_tokens + max(longest, self.answer_tokens or 0) * self.copies

    @property
    def dialect(self) -> str:
        """The name of the vendor whose dialect the client uses; `direct` for a direct call."""
        return self.card.name

    def __repr__(self) -> str:
        """Without the API key."""
        return f"<Request {self.id} of {self.item!r} to {self.model} with {self.key}>"
