"""The options for limits that several processes share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple, final

from .address import parse_address


class Account(NamedTuple):
    """Whose limits the requests of a scope count against.

    `secret` may hold a key: only a hash of it is ever stored. `scope` is what the limits are for,
    such as a model.
    """

    provider: str
    secret: str
    scope: str


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class SharedLimits:
    """Where several processes share the limits of an account, in more detail than a URL.

    Args:
        address: `redis://…`, `file:PATH` or `auto`.
        share_of: among how many processes the limit is divided while the place cannot be reached and
            never was. Without it a run does not start then.
        account: whose limits a scope counts against. By default all scopes of a place belong to one
            account, and with `auto` to the program that is run.

    Raises:
        ValueError: the address is none, or `share_of` is below 1.
    """

    address: str
    share_of: int | None = None
    account: Callable[[str], Account] | None = None

    def __post_init__(self) -> None:
        parse_address(self.address)
        if self.share_of is not None and self.share_of < 1:
            raise ValueError(f"share_of must be at least 1, not {self.share_of!r}")
