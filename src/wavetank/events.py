"""The event log: what happened, when and to which item, in one versioned vocabulary.

The log is what checks and reports read. Written as NDJSON it has a header line, one line
per event and, once the run has ended, a closing line; a line of notes may follow. The same run gives
the same bytes.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any, Final, Literal, TypeVar, final, get_args, overload

import msgspec

T = TypeVar("T")

FORMAT: Final = "wavetank-events"
VERSION: Final = 4
READABLE: Final = (1, 2, 3, 4)
"""Versions that can be read: 1 has nothing of who did what where, 2 no notes and no changes of counts,
3 nothing of budgets, first tokens and how tasks ended."""

EventKind = Literal[
    "submitted",
    "arrived",
    "unknown-host",
    "app-failed",
    "answer-failed",
    "held",
    "refused",
    "answered",
    "delivered",
    "left",
    "completed",
    "failed",
    "cancelled",
    "paused",
    "resumed",
    "stalled",
    "interrupted",
    "restarted",
    "unreported",
    "traced",
    "violated",
    "replica",
    "command",
    "wave-opened",
    "wave-closed",
]
EVENT_KINDS: Final[tuple[str, ...]] = get_args(EventKind)

BY_ANSWER: Final = -1
"""The number of a fault that is none of the scenario's: `fake_llm.answer` raised it."""

Ending = Literal["returned", "raised", "interrupted", "deadlock", "steps", "time", "cpu"]

ENDED: Final[tuple[Ending, ...]] = ("returned", "raised", "interrupted")
"""How a program ends that nothing stopped."""


class EventLogError(ValueError):
    """A file is not an event log, is torn, or is of another version; the text says where."""


@final
class Event(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, repr_omit_defaults=True):
    """One thing that happened at the instant `at`, in nanoseconds since the start of the run.

    `request` is the running number of the request. On `arrived`, `sent` is when the client
    entered the call or its HTTP pool and `declared` whether it named the item itself.
    `retry_after` is in nanoseconds from `at`, as written on the wire. `delivered` marks the
    end of an exchange in the client's own step: of a success (`status` 200: it is paid) or
    of a refusal that reached the client. `marks` are the items named in a completed value, and
    `alike` those whose answers are in it where no mark names any. `since`
    is when the stretch began that a `stalled` ends; `until` is when a `paused` was to end then.
    On `arrived`, `generates` is false where no text
    is asked for, and `same_as` is the first request with the very same question, if that was for
    another item. On `delivered` and `left`, `whole` says that the client had the text of an answer
    and the signal that it is finished, and `early` that it left by itself when it had read some of it.
    On `answered` and `left`, `late` says that a fault which a package has added only delays the answer.
    `tokens` are what an answer is charged for. `task` is the task or thread that submitted
    an item, sent a request or reported an outcome, and `file` and `line` its place in the program.
    On `traced` it did the `action` to the `primitive`, which then had that `size`. On `replica`, `task` is
    the replica that `started`, `crashed`, `paused` (`until` then), `resumed` or `restarted`: the `action`.
    On `command` a server of the simulated network, `host`, ran the `target` that was `sent` before.
    On `refused`, `answered` and `left`, `budgets` has what was left of each budget of a limit when the
    provider had decided on the request, at the instant `decided`; `first` is when it sent the first part
    of a stream. `header` is the line that stated the `retry_after`, where that is no number of seconds.
    On `unknown-host` and `app-failed`, `host` and `target` are what a client wanted, as in
    `POST /v1/messages`, and `dialect` is the one that has such a path. On `arrived`, `target` is there
    where nothing is paid: a file, a batch or a count of tokens is wanted.
    Lines of batches are requests of their own, and all their events have the id of the `batch`; so has the
    request that a background response stands for. They are paid when they are `answered`, and `delivered`
    with the file that has their results. A line that `left` has no answer, for a `reason`: it `failed`, is
    `missing`, `expired` or was `cancelled`.
    """

    at: int
    kind: EventKind
    item: str | None = None
    request: int | None = None
    declared: bool = False
    sent: int | None = None
    status: int | None = None
    scope: str | None = None
    retry_after: int | None = None
    since: int | None = None
    until: int | None = None
    reason: str | None = None
    wave: int | None = None
    fault: int | None = None
    model: str | None = None
    key: str | None = None
    host: str | None = None
    value: str | None = None
    marks: tuple[str, ...] = ()
    alike: tuple[str, ...] = ()
    error: str | None = None
    error_type: str | None = None
    generates: bool = True
    same_as: int | None = None
    tokens: int | None = None
    whole: bool = False
    early: bool = False
    late: bool = False
    task: str | None = None
    file: str | None = None
    line: int | None = None
    primitive: str | None = None
    action: str | None = None
    size: int | None = None
    target: str | None = None
    dialect: str | None = None
    budgets: dict[str, int] | None = None
    decided: int | None = None
    first: int | None = None
    header: str | None = None
    batch: str | None = None


@final
class Header(msgspec.Struct, frozen=True, kw_only=True):
    """What run a log belongs to; `answers`: it says which answers were `whole`, as older logs do not.

    `unknown_hosts` are the patterns of hosts that the fake need not answer for.
    """

    scenario: str
    digest: str
    seed: int
    backend: str
    waves: int = 0
    faults: int = 0
    passable: bool = True
    answers: bool = False
    expects: dict[str, int | float] = {}
    unknown_hosts: list[str] = []


@final
class Watched(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What was seen of a count of the program's own: at first, at last, at least and at most.

    `changes` has each value that differs from the one before, with the instant at which it was seen.
    """

    first: int | float
    last: int | float
    least: int | float
    most: int | float
    changes: tuple[tuple[int, int | float], ...] = ()


@final
class Unseen(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A task or thread that ended at the instant `at` with an error that nothing in the program received."""

    task: str
    error: str
    at: int
    file: str | None = None
    line: int | None = None


@final
class Wait(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Tasks or threads that waited, all at one place, through a stretch in which nothing else happened.

    `what` says for what, and who held it, as far as that is known.
    """

    tasks: tuple[str, ...]
    what: str
    since: int
    until: int
    file: str | None = None
    line: int | None = None


@final
class TaskEnd(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How a task or thread ended at the instant `at`; `error` is the type of what it raised."""

    task: str
    how: Literal["returned", "raised", "cancelled"]
    at: int
    error: str | None = None


@final
class RunEnd(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How a run ended: at which instant, after how many steps, and what was blocked then.

    `stuck` names the tasks that could never go on although others still ran; `spinning` says
    who took the last steps of a spent budget; `watched` has what `tank.watch` was given. `unseen`
    has the errors that nothing received, and `waits` who waited in the longest quiet stretches.
    `tasks` says how tasks ended that did something, waited long or raised, and `history` has the latest
    `traced` events of what was still waited for. The last three are only there of a run that a report is
    made of.
    """

    how: Ending
    at: int
    steps: int = 0
    blocked: tuple[str, ...] = ()
    late_steps: int = 0
    stuck: tuple[str, ...] = ()
    spinning: tuple[str, ...] = ()
    watched: dict[str, Watched] = {}
    error: str | None = None
    unseen: tuple[Unseen, ...] = ()
    waits: tuple[Wait, ...] = ()
    tasks: tuple[TaskEnd, ...] = ()
    history: tuple[Event, ...] = ()


@final
class Judged(msgspec.Struct, frozen=True, kw_only=True):
    """The verdict of one check: `passed` is `None` where it was not judged."""

    name: str
    passed: bool | None
    summary: str
    evidence: tuple[str, ...] = ()


@final
class Deviated(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A choice in which the schedule differs from FIFO order, before the step `step`, at the instant `at`.

    Where the order of tasks was chosen, `task` is who ran and `fifo` who would have run in FIFO order.
    """

    kind: str
    at: int
    step: int
    text: str
    task: str | None = None
    fifo: str | None = None


@final
class Stepped(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Who ran, from the instant `at` on, up to which line of the program, whose `text` is given.

    `skipped` steps came before it that are not shown. `deviates` says that FIFO order would have had
    another one run.
    """

    at: int
    task: str
    file: str
    line: int
    text: str = ""
    skipped: int = 0
    deviates: bool = False


@final
class Notes(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What is known of a run besides its events: how it was judged, and what repeats it.

    `title` names the run, `found` says how a search came upon it. `replay` is the line that repeats it.
    """

    title: str = ""
    found: tuple[str, ...] = ()
    replay: str = ""
    verdicts: tuple[Judged, ...] = ()
    deviations: tuple[Deviated, ...] = ()
    interleaving: tuple[Stepped, ...] = ()


@final
class EventLog:
    """The events of one run, in order; a sequence of `Event`.

    `notes` are there where the log was written by something that had judged the run.
    """

    __slots__ = ("_derived", "_events", "_listeners", "end", "header", "notes")

    def __init__(self, header: Header) -> None:
        self.header = header
        self.end: RunEnd | None = None
        self.notes: Notes | None = None
        self._events: list[Event] = []
        self._listeners: list[Callable[[Event], object]] = []
        self._derived: dict[Callable[[EventLog], Any], Any] = {}

    def append(self, event: Event) -> None:
        """Add an event; after the end of the run it is dropped."""
        if self.end is not None:
            return
        self._events.append(event)
        if self._derived:
            self._derived.clear()
        for listener in self._listeners:
            listener(event)

    def finish(self, end: RunEnd) -> None:
        """Close the log; the first end counts."""
        if self.end is None:
            self.end = end

    def listen(self, listener: Callable[[Event], object]) -> None:
        """Call `listener` with each event from here on."""
        self._listeners.append(listener)

    def of(self, *kinds: EventKind) -> list[Event]:
        """The events of these kinds, in order."""
        if len(kinds) == 1:
            return list(self.derived(_by_kind).get(kinds[0], ()))
        return [event for event in self._events if event.kind in kinds]

    def derived(self, read: Callable[[EventLog], T]) -> T:
        """What `read` makes of the events, made once for all who ask until another event comes.

        Callers must not change it.
        """
        if read not in self._derived:
            self._derived[read] = read(self)
        found: T = self._derived[read]
        return found

    def with_notes(self, notes: Notes) -> EventLog:
        """The same log, with these notes."""
        log = EventLog(self.header)
        log._events, log.end, log.notes = self._events, self.end, notes
        return log

    def to_ndjson(self, *, waits: bool = True) -> bytes:
        """The whole log as bytes: header, events, the end if the run has ended, and notes if there are any.

        Without `waits` it is what every run of the same schedule has: none of what not each run looks
        for (waits, ends of tasks, history), and no notes.
        """
        lines = [line_of(self.header), *map(line_of, self._events)]
        if self.end is not None:
            lines.append(
                line_of(
                    self.end if waits else msgspec.structs.replace(self.end, waits=(), tasks=(), history=())
                )
            )
        if self.notes is not None and waits:
            lines.append(line_of(self.notes))
        return b"".join(lines)

    @classmethod
    def from_ndjson(cls, data: bytes) -> EventLog:
        """Read a log back.

        Raises:
            EventLogError: not an event log, another version, or a torn line; names the line.
        """
        first, *lines = data.split(b"\n")
        log = cls(read_header(first))
        if lines and lines[-1]:
            raise EventLogError(f"line {len(lines) + 1} is torn: the file ends in the middle of a line")
        for number, line in enumerate(lines[:-1], start=2):
            log._read_line(number, line)
        return log

    def _read_line(self, number: int, line: bytes) -> None:
        try:
            if self.notes is None and line.startswith(b'{"notes":'):
                self.notes = msgspec.json.decode(line, type=dict[str, Notes])["notes"]
            elif self.end is not None or self.notes is not None:
                raise EventLogError(f"line {number} comes after the end of the run, which closes a log")
            elif line.startswith(b'{"end":'):
                self.end = msgspec.json.decode(line, type=dict[str, RunEnd])["end"]
            else:
                self._events.append(msgspec.json.decode(line, type=Event))
        except _UNREADABLE as error:
            raise EventLogError(f"line {number} is not an event: {error}") from None

    def __iter__(self) -> Iterator[Event]:
        return iter(self._events)

    def __len__(self) -> int:
        return len(self._events)

    @overload
    def __getitem__(self, index: int) -> Event: ...
    @overload
    def __getitem__(self, index: slice) -> list[Event]: ...
    def __getitem__(self, index: int | slice) -> Event | list[Event]:
        return self._events[index]

    def __repr__(self) -> str:
        return f"<EventLog {self.header.scenario} [{len(self)} events]>"


def _by_kind(log: EventLog) -> dict[EventKind, list[Event]]:
    found: dict[EventKind, list[Event]] = {}
    for event in log:
        found.setdefault(event.kind, []).append(event)
    return found


def line_of(part: Header | Event | RunEnd | Notes) -> bytes:
    """One line of a log written as NDJSON, with its line end."""
    if isinstance(part, Header):
        fields = msgspec.structs.asdict(part)
        if not part.unknown_hosts:
            del fields["unknown_hosts"]
        return _encoded({"format": FORMAT, "version": VERSION, **fields}) + b"\n"
    if isinstance(part, Event):
        return _encoded(part) + b"\n"
    return _encoded({"end" if isinstance(part, RunEnd) else "notes": part}) + b"\n"


def _encoded(value: object) -> bytes:
    try:
        return _ENCODER.encode(value)
    except UnicodeEncodeError:
        return _ENCODER.encode(without_surrogates(value))


def without_surrogates(value: Any) -> Any:
    """The value with lone surrogates, which UTF-8 cannot hold, written as escapes."""
    if isinstance(value, str):
        return value.encode(errors="backslashreplace").decode()
    if isinstance(value, msgspec.Struct):
        fields = msgspec.structs.asdict(value)
        return msgspec.structs.replace(value, **without_surrogates(fields))
    if isinstance(value, dict):
        return {without_surrogates(name): without_surrogates(each) for name, each in value.items()}
    return type(value)(map(without_surrogates, value)) if isinstance(value, (list, tuple)) else value


def read_header(line: bytes) -> Header:
    """Read the first line of a log.

    Raises:
        EventLogError: it is no header, or of another version.
    """
    try:
        fields: dict[str, Any] = msgspec.json.decode(line, type=dict[str, Any])
    except _UNREADABLE:
        raise EventLogError("line 1 is not the header of an event log") from None
    if fields.pop("format", None) != FORMAT:
        raise EventLogError("line 1 is not the header of an event log")
    version = fields.pop("version", None)
    if version not in READABLE:
        known = " and ".join(map(str, READABLE))
        raise EventLogError(f"the log has version {version}; this wavetank reads versions {known}")
    try:
        return msgspec.convert(fields, Header)
    except msgspec.ValidationError as error:
        raise EventLogError(f"line 1 is not a whole header: {error}") from None


_UNREADABLE: Final = (msgspec.MsgspecError, UnicodeDecodeError)
_ENCODER: Final = msgspec.json.Encoder(order="deterministic")
_ADDRESS: Final = re.compile(r"\b0x[0-9a-fA-F]{4,}\b")


def without_addresses(text: str) -> str:
    """The text with memory addresses blanked, so that it is the same in every run."""
    return _ADDRESS.sub("0x…", text) if "0x" in text else text
