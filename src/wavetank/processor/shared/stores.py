"""What a shared gate needs of the place where its state is kept."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

LAYOUT = "1"
"""The version of the keys, the operations, the log and of what is learnt."""
IN_USE = (
    "{place} is used by another version of wavetank (layout {theirs}, this one has {ours}), and they cannot "
    "share a gate: use one version, or another name (?name=…), or wait until the others have ended"
)


class Store(Protocol):
    """The state of one gate, in a server or in a file.

    Args of the methods are those of `call_gate`.
    """

    @property
    def place(self) -> str:
        """Where it is, without a password."""
        ...

    @property
    def wakes(self) -> bool:
        """Whether `listen` says when another process has changed what a waiter waits for."""
        ...

    async def connect(self) -> None:
        """Open it.

        Raises:
            StoreAway: it cannot be reached now.
            SharedGateError: it cannot be used.
        """
        ...

    async def call(self, arguments: Sequence[str]) -> list[str]:
        """Make one call, which is one step for all processes.

        Raises:
            StoreAway: it cannot be reached now; the call may have been made or not.
            SharedGateError: it cannot be used.
        """
        ...

    async def listen(self, on_wake: Callable[[], object]) -> None:
        """Call `on_wake` when another process has changed what a waiter waits for, until it is cancelled.

        Raises:
            StoreAway: it cannot be reached now.
        """
        ...

    async def aclose(self) -> None:
        """Close it."""
        ...
