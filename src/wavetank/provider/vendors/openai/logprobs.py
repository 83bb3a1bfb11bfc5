"""Log probabilities of tokens, where a request asks for them: every token of the fake is as probable.

Source: `ChatCompletionTokenLogprob` and `CreateCompletionResponse` of OpenAI's OpenAPI description.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import accumulate
from typing import Any, Final

from ...content import Block
from ...dialect_base.shared import Values, not_served
from .requests import INVALID, wrong_type

_OF_A_TOKEN: Final = round(math.log(0.99), 6)
"""Sure, as models mostly are, and yet not 0, which some programs take for missing."""
_OTHERS: Final = (" the", " a", " is", " of", " to", " and", " in", " it", " that", " for")
MOST_ALTERNATIVES: Final = 20
"""`top_logprobs` of `CreateChatCompletionRequest`."""
_MOST_OF_COMPLETIONS: Final = 5


def asked_in_chat(payload: Mapping[str, Any], *, served: bool) -> None:
    """Check what a chat asks for.

    Raises:
        InvalidRequest: they are not `served`, or too many alternatives are asked for.
    """
    top = payload.get("top_logprobs")
    if not served and (payload.get("logprobs") or top):
        raise not_served("log probabilities from this provider", "logprobs", kind=INVALID)
    check_count(top, "top_logprobs", MOST_ALTERNATIVES)


def check_count(count: object, name: str, most: int = _MOST_OF_COMPLETIONS) -> None:
    """See that so many alternatives may be asked for."""
    if count is not None and (
        not isinstance(count, int) or isinstance(count, bool) or not 0 <= count <= most
    ):
        raise wrong_type(name, f"an integer from 0 to {most}")


def of_chat(payload: Mapping[str, Any], blocks: Sequence[Block]) -> Values | None:
    """The `logprobs` of a choice: an entry for each token of its text, `None` if they are not asked for."""
    if payload.get("logprobs") is not True:
        return None
    pieces = [piece for block in blocks if block.kind == "text" for piece in block.pieces]
    return {"content": entries(pieces, payload.get("top_logprobs") or 0), "refusal": None}


def entries(pieces: Sequence[str], top: int) -> list[Values]:
    """An entry for each token, with `top` alternatives, of which the token itself is the first."""
    return [
        _entry(piece, _OF_A_TOKEN)
        | {"top_logprobs": [_entry(token, value) for token, value in _alternatives(piece, top)]}
        for piece in pieces
    ]


def of_completion(payload: Mapping[str, Any], pieces: Sequence[str], before: int) -> Values | None:
    """The `logprobs` of a completion; `before` is how many characters come before these pieces."""
    top = payload.get("logprobs")
    if top is None:
        return None
    return {
        "tokens": list(pieces),
        "token_logprobs": [_OF_A_TOKEN for _ in pieces],
        "top_logprobs": [dict(_alternatives(piece, top)) for piece in pieces],
        "text_offset": list(accumulate(map(len, pieces[:-1]), initial=before)) if pieces else [],
    }


def _entry(token: str, value: float) -> Values:
    return {"token": token, "logprob": value, "bytes": list(token.encode(errors="replace"))}


def _alternatives(piece: str, count: int) -> list[tuple[str, float]]:
    """The token and others, each half as probable as the one before."""
    others = [word for word in _OTHERS if word != piece][: max(0, count - 1)]
    rest = [(word, round(math.log(0.01 / 2**number), 6)) for number, word in enumerate(others, start=1)]
    return [(piece, _OF_A_TOKEN), *rest][:count]
