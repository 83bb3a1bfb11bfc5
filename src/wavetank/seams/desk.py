"""The provider's front desk: takes requests in, hands replies out when due, and logs both."""

from __future__ import annotations

import _thread
import errno
import os
import socket
import ssl
import weakref
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, Final, Protocol, final

from ..clock import SECOND, Clock, Timer
from ..events import BY_ANSWER, Event, EventKind
from ..fault_kinds import WITHOUT_BYTES
from ..provider.batches.batch import LineEnd
from ..provider.dialect_base.retry_after import retry_headers
from ..provider.faults import effect_of
from ..provider.host_rules import HostTable
from ..provider.model import LimitState, Refusal, Reply, Success
from ..provider.provider import Provider
from ..provider.request import Request
from ..scenario import DELAYS, Fault, FaultKind, Stage
from ..shown import Secrets
from ..sim.origin import NOWHERE, Origin
from ..sim.processes import Process, current_process
from ..sim.run_threads import UNDER_REAL_LOCKS
from .answer_function import AnswerFunction, Function
from .app_tasks import AppTasks
from .lifespans import Lifespans
from .same_requests import SameRequests
from .sent_requests import Record
from .services import Service
from .waiting import Waits

_MANY: Final = 256

UNDER_REAL_LOCKS.add(__file__)


class ItemResolver(Protocol):
    def __call__(self, request: Request, /) -> str | None: ...


class Log(Protocol):
    """Where events go: as `EventLog`."""

    def append(self, event: Event, /) -> None: ...


class Connection(Protocol):
    """The provider's end of a connection of a client."""

    process: Process | None
    """The simulated process whose connection it is."""

    def close(self) -> None:
        """End it from the provider's side."""

    def hang_up(self) -> None:
        """The client has closed it."""


@final
class Desk:
    """Brings clients and one `Provider` together on one clock; safe to use from several threads.

    `admit` is called before a request is let in and may raise. `origin` says who calls it and where
    in the program. `progress` is called with the record of a
    success that has reached its client. Without
    `keep_records` the record of a request is dropped when its exchange is over.
    """

    def __init__(
        self,
        provider: Provider,
        clock: Clock,
        log: Log,
        *,
        waits: Waits,
        faults: Sequence[Fault] = (),
        hosts: HostTable | None = None,
        admit: Callable[[], object] = lambda: None,
        origin: Callable[[], Origin] = lambda: NOWHERE,
        lets_through: Callable[[str, int | None], bool] = lambda *_: False,
        is_declared: Callable[[str], bool] = lambda _: False,
        progress: Callable[[Record], object] = lambda _: None,
        keep_records: bool = True,
    ) -> None:
        self.clock = clock
        self.waits = waits
        self.epoch_ns = provider.epoch_ns
        self.origin = origin
        """Who calls, and where; asked where a client enters its call, in the client's own step."""
        self.secrets = Secrets()
        """The API keys so far, and what is shown instead of them."""
        self.hosts = hosts or HostTable()
        """The hosts that the fake answers for."""
        self.services: dict[tuple[str, int], Service] = {}  # those that speak no HTTP, by host and port
        self.app_tasks = AppTasks()
        """Where applications answer for their hosts."""
        self.lifespans = Lifespans(self.app_tasks)
        self.lets_through = lets_through
        """Whether a connection to this host and port is none of the fake's business."""
        self.is_declared = is_declared
        """Whether the test says that this host may be refused; it has its port where that is unusual."""
        self.ports = 0  # how many sockets have connected to this desk
        self.lock = _thread.RLock()
        """Held while the desk changes; in virtual time no thread ever waits for it."""
        self.records: list[Record] = []
        """All requests so far, unless they are not kept."""
        self.count = 0  # of requests
        self.answered = 0
        self.refused = 0
        self._open: dict[int, Record] = {}
        self._keep_records = keep_records
        self._connections: list[weakref.ref[Connection]] = []
        self._whose: dict[int, Process] = {}  # the simulated processes that sent requests under way
        self.item_of: ItemResolver | None = None
        self._provider = provider
        provider.batches.enter = self._enter_line
        self._submitted: set[str] = set()  # items of the ledger
        self._lines: dict[int, Record] = {}  # of batches, whose answers have reached no client yet
        self._faults = faults
        self._has_faults_of_bytes = any(fault.kind not in WITHOUT_BYTES for fault in faults)
        self._log = log
        self._admit = admit
        self._progress = progress
        self._deliver: dict[int, Callable[[Reply], object]] = {}
        self._same_requests = SameRequests()
        self._kept: dict[str, Any] = {}
        self._timer: Timer | None = None
        self._timer_due: int | None = None

    def begin(self, epoch_ns: int) -> None:
        """Time begins only now, before any request: `epoch_ns` is the true Unix time of the instant 0."""
        self._provider.begin(epoch_ns)
        self.epoch_ns = self._provider.epoch_ns

    @property
    def needs_bytes(self) -> bool:
        """Whether a fault may be one of bytes, so that replies must be written and read.

        A function that answers may raise such faults.
        """
        return self._has_faults_of_bytes or self._provider.answers.ask is not None

    @property
    def answer(self) -> Function | None:
        """The function of the test that answers requests, if it has one."""
        asked = self._provider.answers.ask
        return asked.function if isinstance(asked, AnswerFunction) else None

    @answer.setter
    def answer(self, function: Function | None) -> None:
        ask = None if function is None else AnswerFunction(function, self.note)
        self._provider.answers.ask = ask

    @property
    def in_flight(self) -> int:
        return self._provider.in_flight

    @property
    def peak_in_flight(self) -> int:
        return self._provider.peak_in_flight

    def admit(self) -> None:
        """Raise if the caller is in a place where this desk's clock does not run."""
        self._admit()

    def connect(self, host: str, stage: Stage | None = None) -> None:
        """A client takes a step towards a connection to a host, or all steps at once.

        Raises:
            OSError: the scenario has it fail; a `TimeoutError` is what the system says when it gives up.
        """
        kind = self.refuses_connection(host, stage)
        if kind is not None:
            raise connection_error(kind)

    def refuses_connection(self, host: str = "", stage: Stage | None = None) -> FaultKind | None:
        """The fault that a client meets which wants to connect now; asked once for each connection and step.

        `host` is empty where the client has not said yet which one it wants.
        """
        with self.lock:
            number = self._provider.refuse_connection(self.clock.now(), host, stage)
            if number is None:
                return None
            kind = self._faults[number].kind
            self.note("left", fault=number, reason=kind, host=host or None)
            return kind

    def open(
        self, request: Request, *, sent: int, deliver: Callable[[Reply], object], origin: Origin = NOWHERE
    ) -> Record:
        """Take a request in; `deliver` is called with each part of the reply when it is due."""
        with self.lock:
            now = self.clock.now()
            record = self._enter(request, sent, origin, now)
            self._deliver[request.id] = deliver
            self._provider.arrive(request, now)
            self._catch_up(now)
            self._arm()
        return record

    def turn_away(self, request: Request, *, sent: int, status: int, origin: Origin = NOWHERE) -> Record:
        """Log a request that the provider cannot even read; the caller has the answer ready."""
        with self.lock:
            record = self._enter(request, sent, origin, self.clock.now())
            record.status = status
            self.refused += 1
            self.note("refused", item=request.item, request=request.id, status=status, reason="bad-request")
            return record

    def _enter_line(self, line: Request, brought_by: Request) -> None:
        """A batch has begun: each of its lines is a request of its own, that came with another one."""
        line.card, line.key, line.secret = brought_by.card, brought_by.key, brought_by.secret
        line.kept = brought_by.kept
        brought, now = self._open[brought_by.id], self.clock.now()
        ident = line.custom_id
        # Some runners make up ids: where the prompt is an item of the ledger and the id is none, it counts.
        by_prompt = line.item in self._submitted and ident not in self._submitted
        if ident is not None and not line.declared and not by_prompt:
            line.item, line.declared = ident, True
        self._identify(line)
        record = self._note_arrival(line, round(brought.sent * SECOND), NOWHERE, now)
        self._lines[line.id] = record

    def _enter(self, request: Request, sent: int, origin: Origin, now: int) -> Record:
        request.key, request.kept = self.secrets.label(request.secret), self._kept
        if request.headers:
            request.headers = self.secrets.headers(request.headers, request.secret)
        self._identify(request)
        record = self._note_arrival(request, sent, origin, now)
        self._open[request.id] = record
        if (process := current_process.get()) is not None:
            self._whose[request.id] = process
        return record

    def _note_arrival(self, request: Request, sent: int, origin: Origin, now: int) -> Record:
        self.count = request.id = self.count + 1
        record = Record(request, sent / SECOND)
        if self._keep_records:
            self.records.append(record)
        arrived = Event(
            at=now,
            kind="arrived",
            item=request.item,
            request=request.id,
            declared=request.declared,
            sent=sent,
            model=request.model,
            key=request.key,
            host=request.host or None,
            generates=request.generates,
            same_as=self._same_requests.same_as(request),
            target=self.secrets.hide(request.target) if request.target else None,
            batch=request.batch,
            task=origin.task,
            file=origin.file,
            line=origin.line,
        )
        self._append(arrived)
        return record

    def _identify(self, request: Request) -> None:
        """Ask the user's rule for the item, if there is one.

        Raises:
            TypeError: the item is no string.
        """
        if self.item_of is not None and (named := self.item_of(request)):
            request.item, request.declared = named, True
        if request.item is not None and not isinstance(request.item, str):
            raise TypeError(f"an item id is a string, not {type(request.item).__name__}: pass str(id)")

    def reached(self, record: Record, *, whole: bool = False) -> None:
        """The whole reply is with the client; called in the client's own step.

        `whole`: with it the text of an answer, unaltered, and the signal that it is finished.
        """
        with self.lock:
            if record.reached is not None or record.left:
                return
            now = self.clock.now()
            record.reached = now / SECOND
            record.delivered = record.status == 200 and record.fault is None
            self._append(_about("delivered", record, now, whole=whole))
            self._over(record)
            carried = [self._lines.pop(number, None) for number in record.carries] if record.delivered else []
            lines = [line for line in carried if line is not None]
            for line in lines:
                line.reached, line.delivered = record.reached, True
                self._append(_about("delivered", line, now, whole=True))
        if record.delivered:
            for each in (record, *lines):
                self._progress(each)

    def leave(self, record: Record, *, whole: bool = False, early: bool = False) -> None:
        """The client hung up before the whole reply was with it.

        `whole`: it had the text and the signal that it is finished all the same. `early`: it had
        read the first of the answer and more was to come.
        """
        with self.lock:
            if record.reached is not None or record.left:
                return
            record.left = True
            self._deliver.pop(record.id, None)
            outcome = self._provider.leave(record.id, self.clock.now())
            if isinstance(outcome, Success):
                self._note_answer("left", record, outcome, whole=whole, early=early)
            else:
                self._append(_about("left", record, self.clock.now(), whole=whole, early=early))
            for line in filter(None, map(self._lines.get, record.carries)) if early else ():
                self._append(_about("left", line, self.clock.now(), early=True))
            self._over(record)
            self._arm()

    def _over(self, record: Record) -> None:
        self._open.pop(record.id, None)
        self._whose.pop(record.id, None)

    def connected(self, connection: Connection) -> None:
        """A client has a connection to this desk."""
        if len(self._connections) >= _MANY and len(self._connections) % _MANY == 0:
            self._connections = [one for one in self._connections if one() is not None]
        self._connections.append(weakref.ref(connection))

    def crashed(self, process: Process) -> None:
        """A simulated process of the program has crashed: the system resets its connections."""
        with self.lock:
            for reference in self._connections:
                connection = reference()
                if connection is not None and connection.process is process:
                    connection.hang_up()
            for number in [number for number, whose in self._whose.items() if whose is process]:
                if (record := self._open.get(number)) is not None:
                    self.leave(record)
                self._whose.pop(number, None)

    def close(self) -> None:
        """End all connections, so that a client that outlives this desk makes new ones."""
        self.app_tasks.close()
        with self.lock:
            for reference in self._connections:
                connection = reference()
                if connection is not None:
                    with suppress(RuntimeError):  # its event loop is gone
                        connection.close()
            self._connections.clear()

    # -- the log -------------------------------------------------------------------------

    def note(self, kind: EventKind, **fields: Any) -> None:
        """Log an event as of now, after whatever the provider did by itself before."""
        with self.lock:
            if kind == "submitted":
                self._submitted.add(fields["item"])
            self._append(Event(at=self.clock.now(), kind=kind, **fields))

    def _append(self, event: Event) -> None:
        self._catch_up(event.at)
        self._log.append(event)

    def catch_up(self) -> None:
        """Log the waves that opened and closed and the requests held since the last event."""
        with self.lock:
            self._catch_up(self.clock.now())

    def note_held(self) -> None:
        """The run has ended: log the requests in flight whose answers meet a fault."""
        with self.lock:
            for number, fault in self._provider.faults_in_flight():
                item, which = self._open[number].item, self._number_of(fault)
                self.note("held", item=item, request=number, fault=which, reason=fault.kind)

    def _number_of(self, fault: Fault) -> int | None:
        """The number, from 0, of a fault of the scenario."""
        return next((number for number, each in enumerate(self._faults) if each is fault), None)

    def _catch_up(self, now: int) -> None:
        due = self._provider.next_notice()
        if due is None or due > now:
            return
        for notice in self._provider.notices(now):
            if isinstance(notice, LineEnd):
                self._line_ended(notice)
                continue
            number = notice.request_id
            item = self._open[number].item if number is not None else None
            self._log.append(
                Event(at=notice.at, kind=notice.kind, wave=notice.wave, request=number, item=item)
            )

    def _line_ended(self, end: LineEnd) -> None:
        """A line of a batch has its answer, which nobody has fetched yet, or ends without one."""
        request, answered = end.request, end.fate == "answered"
        record = self._lines[request.id]
        record.status = end.status
        if answered:
            self.answered += 1
        else:
            del self._lines[request.id]
        self._log.append(
            Event(
                at=end.at,
                kind="answered" if answered else "left",
                item=request.item,
                request=request.id,
                status=end.status,
                tokens=end.tokens,
                reason=None if answered else end.fate,
                batch=request.batch,
            )
        )

    def settle(self, next_event: Callable[[], int | None]) -> bool:
        """Nothing can run: let a barrier go that nothing else could fill; True if one went.

        `next_event` returns the next instant at which anything outside the desk may happen.
        """
        if not self._provider.holding:
            return False
        self._disarm()
        released = self._provider.settle(self.clock.now(), next_event())
        self._pump()
        return released

    def _pump(self) -> None:
        with self.lock:
            self._disarm()
            for reply in self._provider.advance(self.clock.now()):
                self._hand_over(reply)
            self._arm()

    def _hand_over(self, reply: Reply) -> None:
        number, outcome = reply.request_id, reply.outcome
        record = self._open[number]
        if isinstance(outcome, Refusal):
            self._refused(record, outcome, reply.at)
        elif outcome.fault is not None and outcome.unreachable:
            record.left = True
            self._note_answer("left", record, outcome)
        else:
            record.status = 200
            if outcome.made is not None:
                record.carries = outcome.made.carries
            if reply.last:
                self.answered += 1
                self._note_answer("answered", record, outcome)
            elif record.first is None and reply.index >= 0:
                record.first = reply.at
        (self._deliver.pop(number) if reply.last else self._deliver[number])(reply)
        if record.left:
            self._open.pop(number, None)

    def _note_answer(self, kind: EventKind, record: Record, answer: Success, **fields: Any) -> None:
        """An answer was sent, or was under way when its client left; with the fault that met it."""
        request = record.request
        fields |= {"item": request.item, "request": request.id, "first": record.first}
        if answer.fault is None or not answer.unreachable:
            fields |= _budgets(answer.limits)
            fields |= {"status": 200, "tokens": answer.prompt_tokens + answer.completion_tokens}
        if answer.fault is not None:
            number = self._number_of(answer.fault)
            fields |= {"fault": BY_ANSWER if number is None else number, "reason": answer.fault.kind}
            if effect_of(answer.fault.kind).damage != "none":
                record.fault = fields["fault"]
            elif answer.fault.kind not in DELAYS:
                fields["late"] = True
        self.note(kind, **fields)

    def _refused(self, record: Record, refusal: Refusal, due: int) -> None:
        wait = int(refusal.retry_after.value) if refusal.retry_after is not None else None
        if wait is not None and refusal.retry_after is not None and refusal.retry_after.form == "http-date":
            # A date is what it is, however late it is sent. A client may take it by its own clock or by
            # the provider's, which the header Date shows: the shorter wait binds it.
            wait += min(0, self._provider.skew) - (self.clock.now() - due)
        record.status, record.scope = refusal.status, refusal.scope
        record.retry_after = wait / SECOND if wait is not None else None
        self.refused += 1
        self.note(
            "refused",
            item=record.item,
            request=record.id,
            status=refusal.status,
            scope=refusal.scope,
            retry_after=wait,
            reason=refusal.reason,
            wave=refusal.wave,
            header=self._header(record, refusal, due),
            **_budgets(refusal.limits),
        )

    def _header(self, record: Record, refusal: Refusal, due: int) -> str | None:
        """The line that states a Retry-After in another form than seconds; a direct call has no header."""
        stated = refusal.retry_after
        if stated is None or stated.form == "seconds" or record.dialect == "direct":
            return None
        return next((": ".join(each) for each in retry_headers(stated, self.epoch_ns + due)), None)

    def _arm(self) -> None:
        due = self._provider.next_due()
        if due == self._timer_due:
            return
        self._disarm()
        if due is not None:
            self._timer, self._timer_due = self.clock.call_at(due, self._pump), due

    def _disarm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._timer_due = None

    def __repr__(self) -> str:
        return f"<Desk {self.count} requests, {self.in_flight} in flight>"


def _budgets(limits: LimitState) -> dict[str, Any]:
    """What was left when the provider had decided on a request; nothing where nothing is limited."""
    return {"budgets": limits.left, "decided": limits.at} if limits.left else {}


def connection_error(kind: FaultKind) -> OSError:
    """What the system says of a connection that meets such a fault."""
    match kind:
        case "dns-failure":
            return socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        case "connect-timeout":
            return TimeoutError(errno.ETIMEDOUT, os.strerror(errno.ETIMEDOUT))
        case "bad-certificate":
            text = "[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed: self-signed certificate"
            return ssl.SSLCertVerificationError(ssl.SSL_ERROR_SSL, text)
        case _:
            return ConnectionRefusedError(errno.ECONNREFUSED, "the provider refused the connection")


def _about(kind: EventKind, record: Record, now: int, **fields: Any) -> Event:
    """What happened to a request, with its status and the fault that spoiled its answer."""
    request = record.request
    return Event(
        at=now,
        kind=kind,
        item=request.item,
        request=request.id,
        status=record.status,
        fault=record.fault,
        batch=request.batch,
        **fields,
    )
