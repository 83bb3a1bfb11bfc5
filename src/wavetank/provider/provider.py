"""The fake provider: a pure state machine that decides from requests, instants and its own state.

It does no I/O, reads no clock and draws no random numbers. Its caller passes in what
happens and when, and asks what is due.
"""

from __future__ import annotations

import heapq
from itertools import count
from typing import Final, final

from ..clock import EPOCH_NS, SECOND
from ..scenario import DurationRange, Fault, Match, Scenario, Stage, refusal_error
from .answers import AnswerSource
from .barriers import Barrier, earliest
from .batches.batch import LineEnd
from .batches.service import BatchService
from .content import Content, WantedRefusal
from .dialect_base.retry_after import wire_retry_after
from .dialect_base.shared import InvalidRequest
from .faults.fault_selection import FaultSelection
from .limiter import Limiter, Over
from .matching import scope_of
from .model import NO_LIMITS, Notice, Outcome, Reason, Refusal, Reply, Success, WireRetryAfter
from .open_request import OpenRequest, RequestCounts
from .picks import Choose, Picks
from .request import Request
from .timing import Timetable
from .waves import NoticeBoard, Script, Windows, scripts

_NOTHING: Final = Content((), "stop", 0)
"""The answer of a request that is not read."""


@final
class Provider:
    """A scripted LLM provider.

    Calls must not go back in time: each `now` is at or after the one before.

    Args:
        scenario: how it behaves.
        seed: decides the picks a scenario leaves open; each pick is keyed by its purpose, the
            wave, the item and how many requests of the item came before.
        choose: asked for each pick; option 0 is what the seed says.
        epoch_ns: the true Unix time of the instant 0; the provider's own clock may differ.
    """

    def __init__(
        self,
        scenario: Scenario,
        *,
        seed: int = 0,
        choose: Choose | None = None,
        epoch_ns: int = EPOCH_NS,
    ) -> None:
        self.in_flight = 0
        """Requests that have arrived and are not finished."""
        self.peak_in_flight = 0
        self.skew = scenario.clock.skew
        """Nanoseconds that its clock is ahead."""
        self._scenario = scenario
        self.begin(epoch_ns)
        self._picks = Picks(seed, choose)
        self.answers = AnswerSource(scenario, self._picks)
        waves = scripts(scenario)
        self._windows = Windows(waves, self._picks)
        self._barriers = tuple(
            Barrier(script, script.wave.when_in_flight)
            for script in waves
            if script.wave.when_in_flight is not None
        )
        self._board = NoticeBoard(waves)
        self._faults = FaultSelection(scenario, self._picks)
        self._orders = count()
        self._open: dict[int, OpenRequest] = {}
        self._due: list[tuple[int, int, int]] = []
        self._counts = RequestCounts()
        self.batches = BatchService(
            scenario.batch, self._picks, self.answers, self._counts.count, lambda: self.epoch_ns
        )
        """The files and the batches that it keeps."""

    def begin(self, epoch_ns: int) -> None:
        """Let the instant 0 have this true Unix time; no request has come yet."""
        self.epoch_ns = epoch_ns + self.skew
        """The Unix time of the instant 0 by its own clock: of all dates that it writes, and of its days."""
        self._limiter = Limiter(self._scenario, epoch_ns=self.epoch_ns)

    # -- what happens to it ------------------------------------------------------------------

    def arrive(self, request: Request, now: int) -> None:
        """Receive a request and decide its outcome.

        Raises:
            ValueError: a request of that id is in flight.
        """
        if request.id in self._open:
            raise ValueError(f"request {request.id} is still in flight; give each request an id of its own")
        self._release_expired(now)
        exchange = self._opened(request)
        self._decide(exchange, now)
        self.in_flight += 1
        self.peak_in_flight = max(self.peak_in_flight, self.in_flight)

    def refuse_connection(self, now: int, host: str = "", stage: Stage | None = None) -> int | None:
        """A client wants to connect: the number, from 0, of the fault that fails it; `None` lets it in.

        `host` is empty where no client has named one yet, and `stage` `None` for all steps at once.
        """
        return self._faults.for_connection(now, host, stage)

    def leave(self, request_id: int, now: int) -> Outcome | None:
        """The client of a request hung up; an id that is unknown or finished is ignored.

        Returns:
            The outcome that was being sent, `None` if there was none.
        """
        self._release_expired(now)
        exchange = self._open.get(request_id)
        if exchange is None:
            return None
        if exchange.barrier is not None:
            exchange.barrier.drop(request_id)
        self._finish(exchange)
        return exchange.outcome

    def faults_in_flight(self) -> list[tuple[int, Fault]]:
        """The requests in flight whose answers meet a fault, which may hold them for ever."""
        open_ones = ((number, exchange.outcome) for number, exchange in self._open.items())
        return [
            (number, outcome.fault)
            for number, outcome in open_ones
            if isinstance(outcome, Success) and outcome.fault is not None
        ]

    def settle(self, now: int, next_event: int | None) -> bool:
        """Release the requests of barriers that only their timeout could release before `next_event`.

        Args:
            now: the instant, in nanoseconds.
            next_event: when anything outside the provider may happen next, `None` for never.

        Returns:
            Whether held requests were released; they are served as of now.
        """
        released = False
        while (waiting := earliest(self._barriers)) and self._idle_until(waiting[0], next_event):
            self._serve_held(waiting[1], now)
            released = True
        return released

    # -- what it does ------------------------------------------------------------------------

    def next_due(self) -> int | None:
        """The next instant at which `advance` has something to do; `None` if nothing is in flight."""
        waiting = earliest(self._barriers) if self._barriers else None
        reply = self._next_reply()
        if waiting is None or reply is None:
            return waiting[0] if waiting else reply
        return min(waiting[0], reply)

    def advance(self, now: int) -> list[Reply]:
        """All parts due at or before `now`, by instant and then by arrival of their requests."""
        self._release_expired(now)
        replies: list[Reply] = []
        while (due := self._next_reply()) is not None and due <= now:
            replies.append(self._sent(self._next_to_send(due)))
        return replies

    def next_notice(self) -> int | None:
        """The next instant at which `notices` has something; waves yet to open count."""
        waves, lines = self._board.next(), self.batches.next_end()
        return waves if lines is None or (waves is not None and waves <= lines) else lines

    def notices(self, now: int) -> list[Notice | LineEnd]:
        """What happened by itself since the last call, in time order.

        Waves opened and closed, requests were held, and lines of batches came to their end.
        """
        return sorted([*self._board.until(now), *self.batches.ends_until(now)], key=lambda each: each.at)

    @property
    def holding(self) -> int:
        """How many requests barriers hold."""
        return sum(barrier.holding for barrier in self._barriers) if self._barriers else 0

    # -- decisions ---------------------------------------------------------------------------

    def _opened(self, request: Request) -> OpenRequest:
        nth = self._counts.count(request.item or "")
        exchange = self._open[request.id] = OpenRequest(request, next(self._orders), nth)
        return exchange

    def _decide(self, exchange: OpenRequest, now: int) -> None:
        request = exchange.request
        if self._faults.of_requests:
            fault = self._faults.first(self._faults.of_requests, request, exchange.nth, now)
            if fault is not None:
                self._cut_off(exchange, fault, now)
                return
        refusing = self._windows.refusing(request, exchange.nth, now)
        if refusing is not None:
            if self._limiter.counts_refused:
                self._limiter.count_refused(request, now)
            self._refuse_by_wave(exchange, *refusing, now)
            return
        planned = self.answers.plan(request)
        if isinstance(planned, WantedRefusal):
            self._refuse_as_wanted(exchange, planned, now)
            return
        exchange.content = planned
        request.answer_tokens = planned.tokens
        output = max(request.max_tokens or 0, planned.tokens) * request.copies
        admitted = self._limiter.admit(request, output, now)
        if isinstance(admitted, Over):
            self._refuse_by_limit(exchange, admitted, now)
            return
        exchange.stay = admitted
        for barrier in self._barriers:
            if barrier.takes(request, exchange.nth, self._picks):
                self._hold(exchange, barrier, now)
                return
        self._answer(exchange, now)

    def _cut_off(self, exchange: OpenRequest, fault: Fault, now: int) -> None:
        """The request is not read: its connection breaks at once, or stays silent until the client leaves."""
        exchange.outcome = Success(_NOTHING, 0, NO_LIMITS, fault)
        if fault.kind != "no-answer":
            self._send(exchange, exchange.outcome, Timetable(start=now))

    def _refuse_by_wave(self, exchange: OpenRequest, script: Script, closes: int, now: int) -> None:
        sent = now + self._pick(self._scenario.latency.refusal, "refusal", script.number, exchange)
        self._refuse(exchange, script, "wave", rest=closes - sent, now=now, sent=sent)

    def _refuse_by_limit(self, exchange: OpenRequest, over: Over, now: int) -> None:
        latency = self._pick(self._scenario.latency.refusal, "refusal", None, exchange)
        sent = now + latency
        rest = None if over.wait is None else max(over.wait - latency, over.penalty)
        retry_after = None if rest is None else wire_retry_after(over.rule, rest, self.epoch_ns + sent)
        limits = self._limiter.state(exchange.request, now)
        status = exchange.request.card.status_over_limit(over.error)
        refusal = Refusal(status, over.reason, over.scope, retry_after, limits, error=over.error)
        self._send(exchange, refusal, Timetable(start=sent))

    def _refuse(
        self, exchange: OpenRequest, script: Script, reason: Reason, *, rest: int, now: int, sent: int
    ) -> None:
        refusal = Refusal(
            exchange.request.card.status_of_wave(script.wave),
            reason,
            script.scope_of(exchange.request),
            wire_retry_after(script.retry_after, rest, self.epoch_ns + sent),
            self._limiter.state(exchange.request, now),
            script.number,
            refusal_error(script.wave),
            script.wave.wrapping,
            script.wave.should_retry,
        )
        self._send(exchange, refusal, Timetable(start=sent))

    def _refuse_as_wanted(self, exchange: OpenRequest, wanted: WantedRefusal, now: int) -> None:
        """Refuse as the test's function says; the refusal covers this item only."""
        request = exchange.request
        sent = now + self._pick(self._scenario.latency.refusal, "refusal", None, exchange)
        stated = wanted.retry_after
        refusal = Refusal(
            request.card.status_of_error(wanted.error) if wanted.status is None else wanted.status,
            "answer",
            scope_of("item", Match(), request),
            None if stated is None else WireRetryAfter("seconds", stated),
            self._limiter.state(request, now),
            error=wanted.error,
            message=wanted.message,
            invalid=wanted.invalid,
        )
        self._send(exchange, refusal, Timetable(start=sent))

    def _answer(self, exchange: OpenRequest, now: int) -> None:
        request, content, latency = exchange.request, exchange.content, self._scenario.latency
        try:
            made = None if request.action is None else request.action(self.batches, request, now)
        except InvalidRequest as invalid:
            self._refuse_action(exchange, invalid, now)
            return
        fault = content.fault or self._faults.first(self._faults.of_answers, request, exchange.nth, now)
        limits = self._limiter.state(exchange.request, now)
        start = now + self._pick(latency.first_token, "first-token", None, exchange)
        if content.lasts is not None:
            start = min(start, now + content.lasts)
        pieces = len(content.pieces)
        timetable = Timetable(
            start=start,
            tokens=pieces,
            stream=request.stream,
            pace=latency.tokens_per_second,
            charged=None if content.tokens == pieces else content.tokens,
            end=None if content.lasts is None else now + content.lasts,
            fault=fault,
            begun=now,
            waits=request.card.waits_before(now, start) if request.stream and fault is None else 0,
            every=request.card.keep_alive_every,
        )
        self.answers.remember(request, content)
        # What asks no model costs no tokens.
        prompt_tokens = request.prompt_tokens if made is None else 0
        answer = Success(content, prompt_tokens, limits, fault, request.copies, made)
        self._send(exchange, answer, timetable)

    def _refuse_action(self, exchange: OpenRequest, invalid: InvalidRequest, now: int) -> None:
        """What the request wants cannot be done with what the provider keeps."""
        self._uncount(exchange)
        sent = now + self._pick(self._scenario.latency.refusal, "refusal", None, exchange)
        text, limits = invalid.text, self._limiter.state(exchange.request, now)
        refusal = Refusal(
            invalid.status,
            "bad-request",
            scope_of("item", Match(), exchange.request),
            None,
            limits,
            message=text.message,
            invalid=True,
            kind=text.kind,
            code=text.code,
            param=text.param,
        )
        self._send(exchange, refusal, Timetable(start=sent))

    def _pick(self, span: DurationRange, purpose: str, wave: int | None, exchange: OpenRequest) -> int:
        item = exchange.request.item or ""
        return self._picks.between(span.low, span.high, purpose, wave, item, exchange.nth)

    # -- barriers ----------------------------------------------------------------------------

    def _hold(self, exchange: OpenRequest, barrier: Barrier, now: int) -> None:
        exchange.barrier = barrier
        self._board.held(barrier.script.number, exchange.request.id, now)
        if not barrier.hold(exchange.request.id, now):
            return
        # One instant for all of them: the low end of the range, the same for each.
        sent = now + self._scenario.latency.refusal.low
        for request_id in barrier.fire():
            held = self._taken_from_barrier(request_id)
            self._uncount(held)
            self._refuse(held, barrier.script, "barrier", rest=SECOND, now=now, sent=sent)

    def _serve_held(self, barrier: Barrier, now: int) -> None:
        for request_id in barrier.release():
            self._answer(self._taken_from_barrier(request_id), now)

    def _taken_from_barrier(self, request_id: int) -> OpenRequest:
        exchange = self._open[request_id]
        exchange.barrier = None
        return exchange

    def _release_expired(self, now: int) -> None:
        while self._barriers and (waiting := earliest(self._barriers)) and waiting[0] <= now:
            self._serve_held(waiting[1], waiting[0])

    def _idle_until(self, deadline: int, next_event: int | None) -> bool:
        """Whether nothing that could fill a barrier happens before its `patience` ends."""
        reply = self._next_reply()
        return (next_event is None or deadline <= next_event) and (reply is None or deadline <= reply)

    # -- replies -----------------------------------------------------------------------------

    def _send(self, exchange: OpenRequest, outcome: Outcome, timetable: Timetable) -> None:
        exchange.outcome, exchange.timetable = outcome, timetable
        exchange.index = -timetable.waits
        self._schedule(exchange)

    def _schedule(self, exchange: OpenRequest) -> None:
        exchange.due = exchange.timetable.at(exchange.index)
        heapq.heappush(self._due, (exchange.due, exchange.order, exchange.request.id))

    def _sent(self, exchange: OpenRequest) -> Reply:
        assert exchange.outcome is not None
        part, timetable = exchange.index, exchange.timetable
        reply = Reply(
            exchange.request.id, exchange.outcome, part, timetable.count, exchange.due, timetable.waits
        )
        if reply.last:
            self._finish(exchange)
        else:
            exchange.index += 1
            self._schedule(exchange)
        return reply

    def _next_to_send(self, due: int) -> OpenRequest:
        """Take out the request whose part is sent next: of those due now the first, or a choice."""
        entry = heapq.heappop(self._due)
        choose = self._picks.choose
        if choose is not None and self._next_reply() == due:
            tied = [entry]
            while self._next_reply() == due:
                tied.append(heapq.heappop(self._due))
            at = choose("reply", self._open[entry[2]].request.item, [request for _, _, request in tied])
            entry = tied.pop(at)
            for other in tied:
                heapq.heappush(self._due, other)
        return self._open[entry[2]]

    def _finish(self, exchange: OpenRequest) -> None:
        del self._open[exchange.request.id]
        self._uncount(exchange)
        self.in_flight -= 1

    def _uncount(self, exchange: OpenRequest) -> None:
        """A request that is refused or finished counts no longer against the limits."""
        if exchange.stay is not None:
            outcome = exchange.outcome
            self._limiter.leave(
                exchange.stay, outcome.completion_tokens if isinstance(outcome, Success) else 0
            )
            exchange.stay = None

    def _next_reply(self) -> int | None:
        """The instant of the next part; parts of requests that left are passed over."""
        while self._due:
            at, order, request_id = self._due[0]
            exchange = self._open.get(request_id)
            if exchange is not None and exchange.order == order:
                return at
            heapq.heappop(self._due)
        return None

    def __repr__(self) -> str:
        return f"<Provider {self._scenario.name} [{self.in_flight} in flight, {self.holding} held]>"
