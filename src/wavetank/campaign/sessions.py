"""The pytest sessions of this process: an order goes to one that waits, or to a new one."""

from __future__ import annotations

import atexit
import os
from collections.abc import Callable
from threading import Lock
from typing import Any, Final, final

from ..engines import EngineError, Versions, worker_here
from .protocol import Collected, Order, Outcome, Program
from .pytest_session import Session, SessionRefused


@final
class Sessions:
    """Sessions that wait and sessions that work; several threads may use it."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._idle: list[Session] = []
        self._busy: list[Session] = []

    def collect(self, program: Program) -> Collected:
        """The tests of a program.

        Raises:
            SessionRefused: pytest cannot collect them.
        """
        session = self._new(program)
        self._rest(session)
        return session.collected

    def make(self, program: Program, order: Order, watch: Callable[[int], object]) -> Outcome:
        """Make what is ordered, in a session of its own while that lasts."""
        worker = worker_here()
        try:
            Versions.here().check(f"the worker on {worker}", Versions(program.python, program.wavetank))
            if not os.path.isdir(program.folder):
                raise SessionRefused(
                    f"there is no folder {program.folder}: give the workers the project at the same path"
                )
            session = self._take(program, order.test) or self._new(program)
        except (EngineError, SessionRefused) as error:
            return Outcome(worker, refused=str(error))
        if order.test not in session.collected.tests:
            self._rest(session)
            return Outcome(worker, refused=f"there is no explored test {order.test} in {program.folder}")
        outcome = session.make(order, worker, watch)
        self._rest(session)
        return outcome

    def _take(self, program: Program, test: str) -> Session | None:
        """A session that waits for an order of this test; those that wait for none any more are closed."""
        with self._lock:
            found = next((one for one in self._idle if one.program == program and one.can_make(test)), None)
            useless = [] if found else self._idle[:]
            self._idle = [one for one in self._idle if one is not found and one not in useless]
            self._busy += [found] if found else []
        for session in useless:
            session.close()
        return found

    def _new(self, program: Program) -> Session:
        session = Session(program)
        with self._lock:
            self._busy.append(session)
        try:
            session.collect()
        except SessionRefused:
            with self._lock:
                self._busy.remove(session)
            session.close()
            raise
        return session

    def _rest(self, session: Session) -> None:
        with self._lock:
            self._busy.remove(session)
            self._idle.append(session)

    def stop(self) -> None:
        """Let every session end its work after the current run."""
        with self._lock:
            for session in self._busy:
                session.stop()

    def kill(self) -> None:
        """End every session at once."""
        with self._lock:
            for session in (*self._busy, *self._idle):
                session.kill()

    def close(self) -> None:
        """End the sessions that wait."""
        with self._lock:
            idle, self._idle = self._idle, []
        for session in idle:
            session.close()


HERE: Final = Sessions()
atexit.register(HERE.close)


def make_range(program: Program, order: Order) -> Outcome:
    """Make what is ordered in this process, as an engine calls it."""
    return HERE.make(program, order, lambda _: None)


def program_here(tests: tuple[str, ...], **given: Any) -> Program:
    """The program of these tests, in the current folder; `given` are other fields."""
    return Program(tests=tests, folder=os.getcwd(), **Versions.here()._asdict(), **given)
