"""Processes that make parts of a search. Each is a fork of this one: the program needs no import there.

Numbers are handed out piece by piece, and what was made is given back in the order of the numbers. A
process that dies costs its piece, which another one makes again.
"""

from __future__ import annotations

import gc
import os
import pickle
import signal
import sys
import threading
import traceback
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from multiprocessing.connection import Connection, Pipe, wait
from typing import Final, NoReturn, final

from ...sim.choices import Level, Recorder
from ...sim.main_thread_watch import look_away
from .made_schedule import Made

PIECES: Final = 2
"""A piece is a part of what is left, one in so many for each process: few messages at first, and at last
single schedules, so that no process waits for long until a block is made."""

_TASKS: Final = "/proc/self/task"
_INTERRUPTIONS: Final = {signal.SIGINT, signal.SIGTERM, *({signal.SIGALRM} if os.name == "posix" else ())}
_BROKEN: Final = 70
"""The exit status of a process whose search raised an error of its own (`EX_SOFTWARE`)."""

Make = Callable[[range], Iterator[Made]]
Learn = Callable[[Iterable[Recorder]], None]


class MakerDied(RuntimeError):
    """A process that makes schedules of a search has died twice at the same ones."""


def why_not() -> str:
    """Why this process cannot be forked now; empty if it can."""
    if not hasattr(os, "fork"):
        return "this platform cannot fork a process"
    look_away()
    others = [each.name for each in threading.enumerate() if each is not threading.current_thread()]
    if others:
        return f"the thread {others[0]!r} is alive, and a forked process would lack it"
    if os.path.isdir(_TASKS) and len(os.listdir(_TASKS)) > 1:
        return "a thread that Python does not know is alive, and a forked process would lack it"
    return ""


@final
class ForkedMakers:
    """So many processes, which end with the block; `make` and `learn` are called in each of them."""

    def __init__(
        self, many: int, make: Make, learn: Learn, inside: Callable[[], AbstractContextManager[None]]
    ) -> None:
        self._many = many
        self._make = make
        self._learn = learn
        self._inside = inside
        self._makers: list[_Maker] = []
        self._lost: dict[int, None] = {}

    def __enter__(self) -> ForkedMakers:
        try:
            for _ in range(self._many):
                self._fork()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        with _uninterrupted():
            while self._makers:
                self._makers.pop().end()

    def learn(self, records: Sequence[Recorder]) -> None:
        """Let every process learn, before its next piece."""
        learnt = pickle.dumps(records, pickle.HIGHEST_PROTOCOL)
        for maker in self._makers:
            maker.unlearnt.append(learnt)

    def made(self, numbers: range) -> Iterator[Made]:
        """Make the schedules with these numbers; in their order, up to one that failed or does not exist.

        Raises:
            MakerDied: a process died at a schedule, and so did the next one.
        """
        todo = _Pieces(numbers, self._many)
        answers: dict[int, tuple[range, list[Made]]] = {}
        place = numbers.start
        while place < numbers.stop:
            self._hand_out(todo)
            if place not in answers:
                self._collect(answers, todo)
                continue
            piece, made = answers.pop(place)
            yield from made
            if made and made[-1].failed:
                return
            if len(made) < len(piece):
                while any(maker.piece for maker in self._makers):
                    self._collect({}, todo)
                return
            place = piece.stop

    def _hand_out(self, todo: _Pieces) -> None:
        for maker in self._makers:
            if maker.piece is None and (piece := todo.next()) is not None:
                maker.ask(piece)

    def _collect(self, answers: dict[int, tuple[range, list[Made]]], todo: _Pieces) -> None:
        """Wait until at least one process has made its piece; a process that died is replaced."""
        busy = [maker for maker in self._makers if maker.piece is not None]
        ready = wait([maker.connection for maker in busy])
        for maker in busy:
            piece = maker.piece
            if maker.connection not in ready or piece is None:
                continue
            made = maker.answer()
            if made is None:
                self._replace(maker, piece)
                todo.give_back(piece)
                continue
            answers[piece.start] = piece, made
            if len(made) < len(piece) or made[-1].failed:
                todo.stop()

    def _replace(self, maker: _Maker, piece: range) -> None:
        self._makers.remove(maker)
        status = maker.end()
        if piece.start in self._lost:
            which = (
                f"schedule {piece[0] + 1}"
                if len(piece) == 1
                else f"schedules {piece[0] + 1} to {piece[-1] + 1}"
            )
            raise MakerDied(
                f"a process that made {which} of the search died twice, the last time {status}: with jobs=1 "
                "the search makes them in this process"
            )
        self._lost[piece.start] = None
        self._fork()

    def _fork(self) -> None:
        ours, theirs = Pipe()
        _flush()  # or the child would write it as well
        with _uninterrupted():
            process = os.fork()
            if not process:
                self._serve(theirs, [ours, *(maker.connection for maker in self._makers)])
            theirs.close()
            self._makers.append(_Maker(process, ours))

    def _serve(self, connection: Connection, others: Iterable[Connection]) -> NoReturn:
        """What a forked process does until it is ended, or the first process is gone."""
        status = _BROKEN
        try:
            signal.signal(signal.SIGINT, signal.SIG_IGN)  # the first process ends the others
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, _INTERRUPTIONS)
            gc.freeze()  # what is there now is never collected here, so its memory stays shared
            for other in others:
                other.close()
            with self._inside():
                self._answer(connection)
        except (EOFError, BrokenPipeError, ConnectionResetError):
            status = 0
        except BaseException:
            traceback.print_exc()
        finally:
            _flush()
            os._exit(status)

    def _answer(self, connection: Connection) -> NoReturn:
        while True:
            piece, learnt = connection.recv()
            for records in learnt:
                self._learn(pickle.loads(records))
            made: list[Made] = []
            try:
                made += (each.to_pass_on() for each in self._make(piece))
            except BaseException as error:  # the first process makes it again, and raises what comes then
                made.append(
                    Made(number=piece.start + len(made), level=Level(), record=None, failed=repr(error))
                )
            _flush()
            connection.send(made)


@final
class _Maker:
    """One process: what it is asked to make now, and what it is to learn before."""

    def __init__(self, process: int, connection: Connection) -> None:
        self._process = process
        self.connection = connection
        self.piece: range | None = None
        self.unlearnt: list[bytes] = []

    def ask(self, piece: range) -> None:
        """Let it make a piece."""
        self.piece = piece
        with suppress(BrokenPipeError, ConnectionResetError):  # its answer is then an end of file
            self.connection.send((piece, self.unlearnt))
            self.unlearnt = []

    def answer(self) -> list[Made] | None:
        """Read what it has made; `None` if it has died."""
        try:
            made: list[Made] = self.connection.recv()
        except (EOFError, ConnectionResetError):
            return None
        self.piece = None
        return made

    def end(self) -> str:
        """End it, if it lives; how it ended."""
        self.connection.close()
        with suppress(ProcessLookupError):
            os.kill(self._process, signal.SIGKILL)
        _, status = os.waitpid(self._process, 0)
        code = os.waitstatus_to_exitcode(status)
        return f"by signal {-code}" if code < 0 else f"with status {code}"


@final
class _Pieces:
    """The numbers of a block that are to be handed out."""

    def __init__(self, numbers: range, many: int) -> None:
        self._left = numbers
        self._share = PIECES * many
        self._given_back: deque[range] = deque()

    def next(self) -> range | None:
        """A piece: one that was given back, or the next numbers."""
        if self._given_back:
            return self._given_back.popleft()
        size = max(1, len(self._left) // self._share)
        piece, self._left = self._left[:size], self._left[size:]
        return piece or None

    def give_back(self, piece: range) -> None:
        """Its process has died."""
        self._given_back.append(piece)

    def stop(self) -> None:
        """Nothing behind what was handed out is needed."""
        self._left = self._left[:0]


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):
            stream.flush()


@contextmanager
def _uninterrupted() -> Iterator[None]:
    """Let no signal come between the fork and the note that there is a child."""
    signal.pthread_sigmask(signal.SIG_BLOCK, _INTERRUPTIONS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _INTERRUPTIONS)
