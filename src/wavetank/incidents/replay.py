"""The requests of a log, sent once more to the fake at the same instants: are the same ones refused?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Final, final

from ..provider.model import Refusal
from ..provider.provider import Provider
from ..provider.request import Request
from ..scenario import Answer, Scenario, Usage
from .exchange import Exchange, usual_tokens

MOST: Final = 20_000
"""Requests that are replayed: some seconds. Longer logs are replayed in part."""


@final
@dataclass(frozen=True, slots=True)
class Replayed:
    """How many requests were sent once more, and how many of them met the same."""

    requests: int
    same: int

    @property
    def exact(self) -> bool:
        return self.same == self.requests


def replay(scenario: Scenario, exchanges: Sequence[Exchange]) -> Replayed:
    """Send the first `MOST` requests that were served or refused; each is over at once."""
    provider = Provider(scenario)
    usual = usual_tokens(exchanges)
    decided = (each for each in exchanges if each.served or each.refused)
    requests = same = 0
    for number, each in enumerate(islice(decided, MOST), start=1):
        prompt, answer = (each.prompt_tokens or 0, each.completion_tokens or 0) if each.tokens else usual
        provider.answers.ask = _Answering(Usage(prompt, answer))
        request = Request(
            id=number,
            model=each.model,
            item=f"request-{number}",
            declared=True,
            prompt="",
            prompt_tokens=prompt,
            key=each.key,
            secret=each.key,
        )
        provider.arrive(request, each.at)
        refused = isinstance(provider.leave(number, each.at), Refusal)
        requests, same = number, same + (refused == each.refused)
    return Replayed(requests, same)


@final
@dataclass(frozen=True, slots=True)
class _Answering:
    """Answers so that a request costs what it did."""

    usage: Usage

    def __call__(self, _: Request) -> Answer:
        return Answer("…", usage=self.usage)
