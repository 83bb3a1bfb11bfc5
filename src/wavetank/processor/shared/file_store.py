"""The state of shared gates in a file, for the processes of one machine: SQLite."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import astuple
from pathlib import Path
from typing import Final, final

import anyio
import anyio.to_thread

from ..wall_clock import machine_us
from .errors import SharedGateError, StoreAway
from .gate_rules import GateState, Member, Sent, call_gate, text
from .stores import IN_USE, LAYOUT

APPLICATION_ID: Final = 0x57544731
"""Marks a SQLite file as one of shared gates, at byte 68: `WTG1`."""
BUSY_SECONDS: Final = 2.0
"""A call takes less than a millisecond; a process that was stopped in the middle of one may last longer."""
_TABLES: Final = """
CREATE TABLE gate (name TEXT PRIMARY KEY, layout TEXT, seen INTEGER, state TEXT, learnt TEXT) STRICT;
CREATE TABLE log (name TEXT, place INTEGER, entry TEXT, PRIMARY KEY (name, place)) STRICT, WITHOUT ROWID;
"""


@final
class FileStore:
    """One gate in a file. The calls are made in a worker thread, so that a slow disk stops no other task.

    Args:
        path: of the file; it is created if there is none.
        name: of the gate, as `key_name` makes it.
    """

    wakes: Final = False

    def __init__(self, path: Path, name: str) -> None:
        self.place: Final = f"file:{path}"
        self._path = path
        self._name = name
        self._file: sqlite3.Connection | None = None

    def __repr__(self) -> str:
        return f"<FileStore {self._name} in {self._path}>"

    async def connect(self) -> None:
        """Open the file, and see that it is one of shared gates."""
        self._file = await anyio.to_thread.run_sync(self._open)

    async def call(self, arguments: Sequence[str]) -> list[str]:
        """Make one call in one transaction."""
        if self._file is None:
            raise StoreAway(f"{self.place} is not open")
        return await anyio.to_thread.run_sync(self._call, self._file, list(arguments))

    async def listen(self, on_wake: Callable[[], object]) -> None:  # noqa: ARG002
        """A file wakes no waiter: each looks again by itself."""
        await anyio.sleep_forever()

    async def aclose(self) -> None:
        """Close the file."""
        file, self._file = self._file, None
        if file is not None:
            await anyio.to_thread.run_sync(file.close)

    def _open(self) -> sqlite3.Connection:
        with self._errors_translated():
            # Two threads never use it at once: a call is awaited before the next one.
            file = sqlite3.connect(
                self._path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False
            )
            try:
                # Safe against a kill. What a power cut loses, the next process learns again. A log (WAL) has
                # nothing to offer where every call writes, and several processes cannot begin it at once.
                file.execute("PRAGMA journal_mode = TRUNCATE")
                file.execute("PRAGMA synchronous = OFF")
                with _transaction(file):
                    self._check(file)
            except BaseException:
                file.close()
                raise
            return file

    def _check(self, file: sqlite3.Connection) -> None:
        (id,) = file.execute("PRAGMA application_id").fetchone()
        (tables,) = file.execute("SELECT count(*) FROM sqlite_master").fetchone()
        if id == APPLICATION_ID:
            return
        if id or tables:
            raise SharedGateError(
                f"{self.place} is a database of something else, and was not changed: name another file"
            )
        for statement in _TABLES.split(";")[:-1]:
            file.execute(statement)
        file.execute(f"PRAGMA application_id = {APPLICATION_ID}")

    def _call(self, file: sqlite3.Connection, arguments: list[str]) -> list[str]:
        with self._errors_translated(), _transaction(file):
            now = machine_us()
            state = self._read(file, now, cursor=int(float(arguments[3])))
            entries = len(state.log)
            start = state.log_start
            learnt, base = state.learnt, state.numbers["base"]
            reply = call_gate(state, now, arguments)
            if len(reply) > 1:
                self._write(file, state, now)
                rows = enumerate(state.log[entries:], start=start + entries)
                file.executemany(
                    "INSERT INTO log VALUES (?, ?, ?)", [(self._name, place, entry) for place, entry in rows]
                )
                if state.numbers["base"] != base:
                    file.execute(
                        "DELETE FROM log WHERE name = ? AND place < ?",
                        (self._name, int(state.numbers["base"])),
                    )
                if state.learnt != learnt:
                    file.execute("UPDATE gate SET learnt = ? WHERE name = ?", (state.learnt, self._name))
            return reply

    def _read(self, file: sqlite3.Connection, now: int, *, cursor: int) -> GateState:
        row = file.execute(
            "SELECT layout, seen, state, learnt FROM gate WHERE name = ?", (self._name,)
        ).fetchone()
        if row is not None:
            layout, seen, stored, learnt = row
            # The clock counts from the start of the machine.
            if layout == LAYOUT and seen <= now:
                state = _decode(stored, learnt)
                start = max(cursor, int(state.numbers["base"]))
                state.log_start = start
                state.log = [
                    entry
                    for (entry,) in file.execute(
                        "SELECT entry FROM log WHERE name = ? AND place >= ? ORDER BY place",
                        (self._name, start),
                    )
                ]
                return state
            if layout != LAYOUT and now < json.loads(stored)["alive_until"]:
                raise SharedGateError(IN_USE.format(place=self.place, theirs=layout, ours=LAYOUT))
            file.execute("DELETE FROM log WHERE name = ?", (self._name,))
        return GateState(text(now))

    def _write(self, file: sqlite3.Connection, state: GateState, now: int) -> None:
        stored = _encode(state)
        file.execute(
            "INSERT INTO gate VALUES (?, ?, ?, ?, '') ON CONFLICT (name) DO UPDATE SET "
            "layout = excluded.layout, seen = excluded.seen, state = excluded.state",
            (self._name, LAYOUT, now, stored),
        )

    @contextmanager
    def _errors_translated(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            name = getattr(error, "sqlite_errorname", "") or ""
            if name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
                raise StoreAway(f"{self.place} has been locked for {BUSY_SECONDS:g} s") from error
            if name.startswith("SQLITE_NOTADB"):
                raise SharedGateError(
                    f"{self.place} is no file of shared gates, and was not changed: name another file"
                ) from error
            if name.startswith("SQLITE_CORRUPT"):
                raise SharedGateError(
                    f"{self.place} is torn ({error}): delete it, nothing of value is lost"
                ) from error
            raise SharedGateError(
                f"{self.place} cannot be used: {error}; check its folder, its permissions and the space left"
            ) from error


@contextmanager
def _transaction(file: sqlite3.Connection) -> Iterator[None]:
    file.execute("BEGIN IMMEDIATE")
    try:
        yield
    except BaseException:
        file.execute("ROLLBACK")
        raise
    file.execute("COMMIT")


def _encode(state: GateState) -> str:
    members = {id: astuple(one) for id, one in state.members.items()}
    tickets = {number: astuple(one) for number, one in state.tickets.items()}
    numbers = state.numbers
    return json.dumps(
        {
            "alive_until": numbers["alive_until"],
            "born": state.born,
            "numbers": numbers,
            "members": members,
            "tickets": tickets,
        }
    )


def _decode(stored: str, learnt: str) -> GateState:
    value = json.loads(stored)
    return GateState(
        value["born"],
        numbers=value["numbers"],
        members={id: Member(*one) for id, one in value["members"].items()},
        tickets={int(number): Sent(*one) for number, one in value["tickets"].items()},
        learnt=learnt,
    )
