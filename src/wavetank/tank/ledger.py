"""The ledger: what was submitted and what came back, by item id."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, Protocol, final

from ..events import EventKind, without_addresses
from ..provider.remembered import Remembered
from ..sim.origin import NOWHERE, Origin

_SHOWN: Final = 200
_LOOKED_AT: Final = 4096
"""So much of a text is searched for secrets before it is cut."""


class Note(Protocol):
    def __call__(self, kind: EventKind, /, **fields: Any) -> None: ...


@final
class Ledger:
    """Enter each item when it is submitted and each outcome when the pipeline reports it.

    Args:
        note: writes an event.
        remembered: knows whose answer a value is.
        hide: takes the secrets out of a text.
        origin: says who enters something and where in the program.
    """

    def __init__(
        self,
        note: Note,
        remembered: Remembered,
        hide: Callable[[str], str] = str,
        origin: Callable[[], Origin] = lambda: NOWHERE,
    ) -> None:
        self._note = note
        self._remembered = remembered
        self._hide = hide
        self._origin = origin
        self._submitted = 0
        self._outcomes = 0

    def submit(self, id: str) -> None:
        """The item `id` was handed to the pipeline."""
        self._enter("submitted", id)
        self._submitted += 1

    def complete(self, id: str, value: object = None) -> None:
        """The pipeline reported a result for `id`; whose answer it is is kept."""
        text = value if isinstance(value, str) else repr(value)
        shown = None if value is None else self._shown(text)
        whose = self._remembered.whose(_checked(id), value, text)
        self._outcome("completed", id, value=shown, marks=whose.marks, alike=whose.alike)

    def fail(self, id: str, error: object = None) -> None:
        """The pipeline reported that it gave up on `id`."""
        text = f"{type(error).__name__}: {error}" if isinstance(error, BaseException) else str(error or "")
        kind = None if error is None else error if isinstance(error, type) else type(error)
        self._outcome("failed", id, error=self._shown(text), error_type=kind and kind.__name__)

    def cancel(self, id: str) -> None:
        """The pipeline reported that `id` was called off."""
        self._outcome("cancelled", id)

    def _shown(self, text: str) -> str:
        return self._hide(without_addresses(text[:_LOOKED_AT]))[:_SHOWN]

    def _outcome(self, kind: EventKind, id: str, **fields: Any) -> None:
        self._enter(kind, id, **fields)
        self._outcomes += 1

    def _enter(self, kind: EventKind, id: str, **fields: Any) -> None:
        origin = self._origin()
        self._note(kind, item=_checked(id), task=origin.task, file=origin.file, line=origin.line, **fields)

    def __repr__(self) -> str:
        return f"<Ledger [{self._submitted} submitted, {self._outcomes} outcomes]>"


def _checked(id: object) -> str:
    if not isinstance(id, str):
        raise TypeError(f"an item id is a string, not {type(id).__name__}: write ledger.submit(str(id))")
    return id
