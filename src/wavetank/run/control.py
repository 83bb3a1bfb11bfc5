"""Changes a run from outside: a file beside its journal asks for a change, another one has the answer.

A file needs no port and no open connection, works on every file system, and its owner and mode
say who wrote it. The run looks for it a few times in a second.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Awaitable
from contextlib import suppress
from pathlib import Path
from typing import Final, Literal, Protocol, final

import anyio
import msgspec

from ..clock import SECOND, real_now
from ..processor.journal import JournalError, user_of
from .run_errors import RunError

LOOK_EVERY_SECONDS: Final = 0.2
"""Quick for a person who waits for it, and one look at a file costs microseconds."""
ANSWER_SECONDS: Final = 10
"""A run that has not answered by then is stopped or hangs; a busy disk may need a few seconds."""
_MOST_BYTES: Final = 65_536
"""A request has a few hundred bytes, and some more for each model with a rate of its own."""
_OWNER_ONLY: Final = 0o600

LimitName = Literal["requests_per_minute", "tokens_per_minute"]
BoundName = Literal["seconds", "requests", "tokens", "cost"]


@final
class ControlRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A change of a run that works; what is not given stays as it is.

    `id` is repeated in the answer. `rates` has the values of each limit by the models that they
    are for, an empty name for all. Without any change it asks only for the status.
    """

    id: str
    parallel: int | None = None
    rates: dict[LimitName, dict[str, float]] = {}
    bounds: dict[BoundName, int | float] = {}
    max_outage_seconds: float | None = None


@final
class ControlAnswer(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the run says: its status, or an `error`, and then nothing was changed."""

    id: str
    status: str = ""
    error: str = ""


class Controlled(Protocol):
    """A run that can be changed."""

    def retune(self, change: ControlRequest) -> Awaitable[None]:
        """Change the run; raises `ValueError` or `RuntimeError` with the reason if that cannot be done."""
        ...

    def status_text(self) -> str:
        """What it has done so far, in one line."""
        ...


async def serve_control(journal: Path, run: Controlled) -> None:
    """Answer the requests for a run until cancelled; a request from before the run is dropped."""
    journal = journal.resolve()
    _remove(_request_file(journal))
    try:
        while True:
            if (request := _read_request(_request_file(journal))) is not None:
                answer = await _answer(request, run)
                _remove(_answer_file(journal))
                # A full disk is no reason to end the run; the command that asked reports that no answer came.
                with suppress(OSError):
                    _write(_answer_file(journal), answer)
                _remove(_request_file(journal))
            await anyio.sleep(LOOK_EVERY_SECONDS)
    finally:
        _remove(_request_file(journal))


def send_request(journal: Path, request: ControlRequest) -> str:
    """Ask the run with this journal for a change, and return its status.

    Raises:
        RunError: there is no such run, it does not answer, or it refuses the change.
    """
    _refuse_unless_running(journal)
    # The run may have been given another path to the same file.
    journal = journal.resolve()
    _remove(_answer_file(journal))
    try:
        _write(_request_file(journal), request)
    except FileExistsError:
        raise RunError(
            "another wavetank ctl waits for the answer of this run; try again, "
            f"or remove {_request_file(journal)}"
        ) from None
    except OSError as error:
        raise RunError(f"{_request_file(journal)}: cannot be written: {error.strerror}") from None
    try:
        answer = _wait_for_answer(journal, request.id)
    finally:
        _remove(_request_file(journal))
        _remove(_answer_file(journal))
    if answer.error:
        raise RunError(f"nothing was changed: {answer.error}")
    return answer.status


def new_id() -> str:
    """An id for a request that no other one has."""
    return f"{os.getpid()}-{real_now()}"


def _refuse_unless_running(journal: Path) -> None:
    try:
        running = user_of(journal)
    except FileNotFoundError:
        raise RunError(f"{journal} does not exist; name the --journal of a run that works") from None
    except (OSError, JournalError) as error:
        raise RunError(f"{journal} cannot be read: {error}") from None
    if running is None:
        raise RunError(
            f"no run has {journal} open; start one with: wavetank run … --journal {journal} --resume"
        )


async def _answer(request: ControlRequest | str, run: Controlled) -> ControlAnswer:
    if isinstance(request, str):
        return ControlAnswer(id="", error=request)
    try:
        if request != ControlRequest(id=request.id):
            await run.retune(request)
    except (ValueError, RuntimeError) as error:
        return ControlAnswer(id=request.id, error=str(error))
    return ControlAnswer(id=request.id, status=run.status_text())


def _wait_for_answer(journal: Path, id: str) -> ControlAnswer:
    import threading

    until = real_now() + ANSWER_SECONDS * SECOND
    never = threading.Event()
    while real_now() < until:
        data = _read_own(_answer_file(journal))
        if data is not None and data.endswith(b"\n"):
            answer = msgspec.json.decode(data, type=ControlAnswer)
            if answer.id in (id, ""):
                return answer
        never.wait(LOOK_EVERY_SECONDS / 4)
    raise RunError(
        f"the run did not answer within {ANSWER_SECONDS} s; it may be starting, ending or suspended"
    )


def _read_request(path: Path) -> ControlRequest | str | None:
    """A request, what is wrong with it, or `None` if there is none or not yet all of it."""
    try:
        data = _read_own(path)
        if data is None or not data.endswith(b"\n"):
            return None
        return msgspec.json.decode(data, type=ControlRequest)
    except (OSError, msgspec.MsgspecError) as error:
        return f"{path}: {error}"


def _read_own(path: Path) -> bytes | None:
    """The bytes of a regular file that only this user can write; `None` if there is none.

    Raises:
        OSError: it is another kind of file, or others can write it.
    """
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except FileNotFoundError:
        return None
    with os.fdopen(handle, "rb") as file:
        found = os.fstat(handle)
        if not stat.S_ISREG(found.st_mode) or found.st_uid != os.geteuid() or found.st_mode & 0o022:
            raise OSError(errno.EPERM, "only the user of the run may write it")
        return file.read(_MOST_BYTES)


def _write(path: Path, message: ControlRequest | ControlAnswer) -> None:
    """Write a new file for the owner only; the reader waits for the end of its line.

    Raises:
        FileExistsError: it exists.
    """
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, _OWNER_ONLY)
    with os.fdopen(handle, "wb") as file:
        file.write(msgspec.json.encode(message) + b"\n")


def _remove(path: Path) -> None:
    with suppress(OSError):
        path.unlink()


def _request_file(journal: Path) -> Path:
    return journal.with_name(f"{journal.name}.ctl")


def _answer_file(journal: Path) -> Path:
    return journal.with_name(f"{journal.name}.ctl-answer")
