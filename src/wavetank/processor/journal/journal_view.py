"""A view of a journal that changes nothing, also while a run writes it."""

from __future__ import annotations

import shutil
import sys
import tempfile
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from struct import Struct
from typing import Final, final

from .journal_file import SENT, SUCCEEDED, UNDER_WAY, JournalError, JournalFile, refuse_unusable
from .stored_outcomes import Limit, RunStatus

# The bytes that SQLite locks: PENDING_BYTE and the 511 after it (os.h, os_unix.c).
_LOCK_BYTE: Final = 0x40000000
_LOCK_BYTES: Final = 512
_WAL_HEADER_BYTES: Final = 32
_TRIES: Final = 50
"""How often a copy is repeated. A run disturbs it when its log starts again, once in thousands of items."""


@final
@dataclass(frozen=True, slots=True)
class OpenRow:
    """An item without an outcome: its row in the input, from 1, and how many requests were sent for it."""

    row: int
    id: str
    requests: int
    under_way: bool


@final
@dataclass(frozen=True, slots=True)
class JournalView:
    """What a journal held at one instant.

    `used_by` is the id of the process that has it open, or `None`. A run that was cut off, as
    by a kill, has the status `stopped`. `oldest_open` is the first item of the input without an
    outcome. `possibly_repeated` counts the items that the provider may have been paid for
    twice. `limits` has the last limit of each scope, the latest first.
    """

    path: Path
    status: RunStatus
    used_by: int | None
    succeeded: int
    failed: int
    waiting: int
    under_way: int
    oldest_open: OpenRow | None
    limits: tuple[Limit, ...]
    possibly_repeated: int
    settings: dict[str, str]

    @property
    def rows(self) -> int:
        """How many items there are."""
        return self.succeeded + self.failed + self.waiting + self.under_way


def look_at_journal(path: str | Path) -> JournalView:
    """Read a journal, also while a run writes it, without any change to it or to its folder.

    A copy is made and read, since the run excludes all others from the file.

    Raises:
        NotAJournal: the file is torn, or something else.
        JournalInUse: this process writes it; use its `Journal`.
        JournalError: the file is missing or cannot be read.
    """
    path = Path(path)
    refuse_unusable(path)
    with tempfile.TemporaryDirectory(prefix="wavetank-") as folder:
        copy = Path(folder) / path.name
        try:
            used_by = _copied(path, copy)
            with closing(JournalFile(copy, resume=True)) as file:
                return _view(path, file, used_by)
        except JournalError as error:
            raise type(error)(str(error).replace(str(copy), str(path))) from error
        except OSError as error:
            raise JournalError(
                f"the journal {path} cannot be copied to be read: {error}; check its permissions and "
                f"the space in {tempfile.gettempdir()}"
            ) from error


def _view(path: Path, file: JournalFile, used_by: int | None) -> JournalView:
    succeeded, failed, waiting, under_way = file.counts()
    status = file.status()
    if used_by is None and status.status in UNDER_WAY:
        status = RunStatus("stopped", "it was cut off", status.since)
    oldest = file.query_one(
        f"SELECT position + 1, id, requests, state = {SENT} FROM items WHERE state < {SUCCEEDED} "
        "ORDER BY position LIMIT 1"
    )
    repeated = file.query_one("SELECT count(*) FROM items WHERE repeated > 0") or (0,)
    return JournalView(
        path,
        status,
        used_by,
        succeeded,
        failed,
        waiting,
        under_way,
        None if oldest is None else OpenRow(oldest[0], oldest[1], oldest[2], bool(oldest[3])),
        file.limits(),
        repeated[0],
        file.settings(),
    )


def _copied(path: Path, copy: Path) -> int | None:
    """Copy file and log as they are at one instant; return the process that has them open.

    The log only grows, and pages are copied from it into the file, until it starts again with
    another header. So a copy of the file and then of the log is whole if the header of the
    log is the same before and after.
    """
    log = path.with_name(path.name + "-wal")
    copy_of_log = copy.with_name(copy.name + "-wal")
    for _ in range(_TRIES):
        # A run that starts or ends meanwhile had the file open when it wrote what is copied.
        user, before = user_of(path), _beginning(log)
        shutil.copyfile(path, copy)
        try:
            shutil.copyfile(log, copy_of_log)
        except FileNotFoundError:
            copy_of_log.unlink(missing_ok=True)
        if _beginning(log) == before:
            return user_of(path) or user
    raise JournalError(f"the journal {path} changed while it was read, {_TRIES} times; try again")


def _beginning(log: Path) -> bytes | None:
    try:
        with log.open("rb") as file:
            return file.read(_WAL_HEADER_BYTES)
    except FileNotFoundError:
        return None


def user_of(path: Path) -> int | None:
    """The id of the process that has a journal open, or `None`; found without a lock, by F_GETLK."""
    import fcntl

    # struct flock: Linux has type, whence, start, length, process; macOS and the BSDs have the type last.
    linux = sys.platform == "linux"
    layout = Struct("hhqqi4x" if linux else "qqihh")
    request = (fcntl.F_WRLCK, 0, _LOCK_BYTE, _LOCK_BYTES, 0)
    values = request if linux else (_LOCK_BYTE, _LOCK_BYTES, 0, fcntl.F_WRLCK, 0)
    with path.open("rb") as file:
        found = layout.unpack(fcntl.fcntl(file, fcntl.F_GETLK, layout.pack(*values)))
    kind, pid = (found[0], found[4]) if linux else (found[3], found[2])
    return None if kind == fcntl.F_UNLCK else pid
