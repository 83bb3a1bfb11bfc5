"""What is kept of one request of a log: when it was sent and what became of it, nothing of what it said."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable
from functools import lru_cache
from typing import Final, final

import msgspec

from ..scenario import RefusalError, RetryAfterForm
from ..shown import Secrets

OWN_MISTAKES: Final = frozenset({400, 401, 403, 404, 405, 406, 410, 411, 413, 414, 415, 422})
"""Statuses that say that the request was wrong: the same request is refused at any time, so they belong
to no incident."""

_MODEL: Final = re.compile(r"[A-Za-z0-9][\w.:/@+-]{0,99}")
_LIKE_A_KEY: Final = re.compile(
    r"(?i)(?:sk|pk|rk|gsk|xai|hf|ghp|gho|pplx|key|aiza|akia|eyj)[-_A-Z0-9]|.*\bsk-"
)


class IncidentError(ValueError):
    """A file cannot be learned from; the text names the file, the line and the fix."""


@final
class Exchange(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One request: sent at the instant `at`, in nanoseconds, by the clock of its log.

    `status` is `None` where no answer is known. `retry_after` and `lasted` are nanoseconds, the first from
    the end of the exchange on. `key` is a label. `refused` says that the provider refused it, and
    `own_mistake` that any provider would have. `reason` is that of an event log. `limit` has the
    requests per minute that a header stated.
    """

    at: int
    status: int | None = None
    refused: bool = False
    own_mistake: bool = False
    retry_after: int | None = None
    form: RetryAfterForm = "seconds"
    error: RefusalError | None = None
    lasted: int | None = None
    model: str = ""
    key: str = ""
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    scope: str = ""
    reason: str = ""
    limit: int | None = None

    @property
    def served(self) -> bool:
        """Whether it was let in."""
        return self.status is not None and not self.refused and not self.own_mistake

    @property
    def tokens(self) -> int | None:
        """All tokens that it was charged for, if they are known."""
        if self.prompt_tokens is None and self.completion_tokens is None:
            return None
        return (self.prompt_tokens or 0) + (self.completion_tokens or 0)


def usual_tokens(exchanges: Iterable[Exchange]) -> tuple[int, int]:
    """What a request that says nothing is taken to cost: prompt and answer of the one in the middle."""
    known = sorted(
        (total, each.prompt_tokens or 0, each.completion_tokens or 0)
        for each in exchanges
        if each.served and (total := each.tokens)
    )
    return known[(len(known) - 1) // 2][1:] if known else (0, 0)


def refuses(status: int | None) -> bool:
    """Whether a status is a refusal of the provider's.

    >>> refuses(429), refuses(200), refuses(404), refuses(None)
    (True, False, False, False)
    """
    return status is not None and status >= 400 and status not in OWN_MISTAKES


def is_mistake(status: int | None) -> bool:
    """Whether a status says that the request itself was wrong."""
    return status in OWN_MISTAKES


@lru_cache(maxsize=1024)
def model_name(name: object) -> str:
    """The name of a model as it may stand in a scenario; empty if it may be something else, such as a key.

    >>> model_name("gpt-4o-mini"), model_name("sk-abc123"), model_name("Dear model,")
    ('gpt-4o-mini', '', '')
    """
    if not isinstance(name, str) or not _MODEL.fullmatch(name) or _LIKE_A_KEY.match(name):
        return ""
    return sys.intern(name) if Secrets().hide(name) == name else ""
