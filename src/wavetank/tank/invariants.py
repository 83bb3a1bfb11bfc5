"""What must hold after every step of a run."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Coroutine, Generator
from typing import final

from ..checks import always
from ..events import without_addresses
from ..sim.origin import NOWHERE, Origin
from ..text import error_text

Invariant = Callable[[], object]

_SHOWN = 200


@final
class Invariants:
    """What `tank.always` was given; each is looked at until it fails for the first time."""

    def __init__(self, note: Callable[..., object], expects: dict[str, int | float]) -> None:
        self._note = note
        self._expects = expects
        self._held: dict[str, Invariant] = {}
        self._names: set[str] = set()
        self._before: set[str] = set()
        """Those of a session that was interrupted: the next one may replace them."""
        self._looking = False
        self.watch: Callable[[], object] = lambda: None
        """Called when there is something to look at, so that `look` is called after each step."""

    def add(self, invariant: Invariant, name: str | None) -> None:
        """Look at it now and after every step from here on.

        Raises:
            TypeError: it cannot be called without arguments, or returns what has yet to be awaited or run.
            ValueError: another one has that name.
        """
        if not _is_plain(invariant):
            called = getattr(invariant, "__qualname__", repr(invariant))
            raise TypeError(f"always({called}): give a plain function without arguments")
        called = str(name or getattr(invariant, "__name__", "invariant"))
        if called in self._names and called not in self._before:
            raise ValueError(f"always(name={called!r}): another invariant has that name; give each its own")
        self._before.discard(called)
        self._names.add(called)
        self._held[called] = invariant
        self._expects[always.NAME] = len(self._names)
        self.watch()
        self.look(NOWHERE)

    def restarted(self) -> None:
        """The program begins again: it may declare invariants of the same names."""
        self._before = set(self._names)

    def look(self, origin: Origin) -> None:
        """Log those that do not hold any more; `origin` is whose step was the last, and where it ended."""
        if self._looking or not self._held:
            return
        self._looking = True
        try:
            for name, wrong in [(name, _wrong(each)) for name, each in self._held.items()]:
                if wrong is not None:
                    del self._held[name]
                    place = {"task": origin.task, "file": origin.file, "line": origin.line}
                    self._note("violated", reason=name, error=wrong, **place)
        finally:
            self._looking = False

    def __repr__(self) -> str:
        return f"<Invariants {', '.join(self._names) or 'none'}>"


def _is_plain(invariant: object) -> bool:
    if not callable(invariant):
        return False
    if inspect.iscoroutinefunction(invariant) or inspect.isgeneratorfunction(invariant):
        return False
    try:
        inspect.signature(invariant).bind()
    except TypeError:
        return False
    except ValueError:  # a builtin without a signature
        return True
    return True


def _wrong(invariant: Invariant) -> str | None:
    """What is wrong; `None` when it holds. A function of asserts returns nothing, and holds then."""
    try:
        held = invariant()
    except Exception as error:  # a wrong invariant must not end a step of the engine
        return error_text(error, without_addresses(str(error)).partition("\n")[0][:_SHOWN])
    if isinstance(held, Coroutine | Generator):  # always true, whatever it would find
        held.close()
        return f"it returned a {type(held).__name__}, which never ran: give a plain function"
    if held is None or held:
        return None
    return f"it was {without_addresses(repr(held))[:_SHOWN]}"
