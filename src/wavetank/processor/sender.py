"""Sends one item until it has an outcome: gate, request, classification of errors, backoff."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from functools import partial
from typing import Any, Final, Generic, TypeVar, final

import anyio

from .cancellation import awaited, cancels_this_task
from .decisions import Decision, DecisionKind, DecisionLog
from .errors.request_failure import Failure, limit_met
from .errors.reset_times import RESETS, short_clock_text
from .failure_judge import FailureJudge
from .gate.gate import Gate
from .gate.gates import Gates
from .gate.permits import HeldPermit, Permits
from .gate.tickets import GateClosed, Ticket
from .in_flight_item import InFlightItem
from .item_source import prepared_item
from .items import Attempt, CallResult, ItemResult, LLMCallStrategy, LLMWorkItem
from .processor_options import ProcessorOptions
from .run_totals import RunTotals
from .stopping import NotSent
from .strategy_lifecycle import Strategies, as_strategy
from .token_estimate import CallbackFailed, TokenEstimate
from .wall_clock import wall_seconds

T = TypeVar("T")

PROVIDER_AWAY: Final = "the provider is away"


@final
class StoppedSending(Exception):
    """The run sends nothing more; the text says why."""


@final
class Sender(Generic[T]):
    """Sends items until they have an outcome; an error of a call becomes a result and is never raised."""

    def __init__(
        self,
        strategies: Strategies[T],
        options: ProcessorOptions,
        *,
        gates: Gates,
        permits: Permits,
        totals: RunTotals,
        decisions: DecisionLog,
        stop_run: Callable[[str, str], object],
    ) -> None:
        self._strategies = strategies
        self.options = options
        self._gates = gates
        self._permits = permits
        self._totals = totals
        self._estimate = TokenEstimate(options.estimate_tokens, totals)
        self._decisions = decisions
        self._fallbacks = [as_strategy(one, of="a fallback") for one in options.fallbacks]
        gates.note_fallbacks(self._fallbacks)
        self._judge = FailureJudge(options, gates=gates, permits=permits, stop_run=stop_run)

    def retune(self, options: ProcessorOptions) -> None:
        """Use other options for what is sent from now on."""
        self.options = self._judge.options = options

    def note_recalled(self, result: ItemResult[Any]) -> None:
        """Take note of a result from an earlier run."""
        self._judge.served_earlier |= result.error is None

    def scopes_away(self) -> tuple[str, ...]:
        """The scopes whose provider is away now."""
        return self._judge.scopes_away()

    async def run(self, in_flight: InFlightItem) -> ItemResult[T]:
        """Send an item until it is answered or has failed.

        Raises:
            StoppedSending: the run sends nothing more.
        """
        try:
            result = await self._send_until_done(in_flight, has_next=bool(self._fallbacks))
            for number, fallback in enumerate(self._fallbacks, start=1):
                if result.error is None:
                    break
                self._note_fallback(in_flight, result, number)
                await self._record_end(in_flight, is_open=True)
                in_flight.budget = in_flight.budget.renewed()
                has_next = number < len(self._fallbacks)
                later = await self._send_until_done(in_flight, fallback, has_next=has_next)
                result = _after_fallback(result, later)
            return result
        except CallbackFailed as failed:
            reason = str(failed)
            return _failed_result(in_flight, Failure("terminal", failed.error, reason), reason)

    async def _send_until_done(
        self, in_flight: InFlightItem, fallback: LLMCallStrategy[T] | None = None, *, has_next: bool
    ) -> ItemResult[T]:
        """Send an item until it is answered or has failed, or is left to the next provider."""
        while True:
            strategy, gate = await self._next_attempt(in_flight, fallback)
            if (refusal := self._estimate.too_large(gate, in_flight.sent)) is not None:
                return _failed_result(in_flight, refusal, refusal.reason)
            ticket = await self._enter(gate, in_flight, has_next=has_next)
            if ticket is None:
                return _not_sent_result(in_flight, gate.closed_because or PROVIDER_AWAY)
            answer = await self._request(gate, ticket, in_flight, strategy)
            if isinstance(answer, CallResult):
                failure, reason = await self._validated(in_flight, answer)
                if failure is None:
                    return self._successful_result(in_flight, answer)
            else:
                failure, reason = await self._judge.judge(gate, ticket, in_flight, answer)
            in_flight.last_error = failure.error
            if reason is None and has_next and self._judge.watch_of(gate).is_outage:
                failure, reason = replace(failure, closes=True), PROVIDER_AWAY
            await self._record_end(in_flight, is_open=reason is None or failure.closes)
            if reason is not None:
                return _failed_result(in_flight, failure, reason)
            if not gate.closed:
                await self._back_off(gate, in_flight, failure)

    async def _next_attempt(
        self, in_flight: InFlightItem, fallback: LLMCallStrategy[T] | None
    ) -> tuple[LLMCallStrategy[T], Gate]:
        """The strategy and the gate of the next request, which `before_attempt` may change."""
        budget, change = in_flight.budget, self.options.before_attempt
        if change is not None:
            attempt = Attempt(budget.attempts + 1, budget.errors, budget.invalid, in_flight.last_error)
            try:
                in_flight.sent = await prepared_item(
                    lambda item: change(item, attempt), in_flight.request, by="before_attempt"
                )
            except Exception as error:
                raise CallbackFailed("before_attempt", error) from error
        strategy = fallback or self._strategies.of(in_flight.item, in_flight.sent)
        if not self._strategies.is_ready(strategy):
            self._gates.note_strategies([strategy])
            await self._permits.wait_without(in_flight, partial(self._strategies.prepare, [strategy]))
        return strategy, self._gate_of(in_flight.sent, strategy)

    async def _validated(
        self, in_flight: InFlightItem, answer: CallResult[T]
    ) -> tuple[Failure | None, str | None]:
        """Whether the answer is valid: `None`, or its failure, and why the item has failed, if it has."""
        if self.options.validate is None:
            return None, None
        try:
            await awaited(self.options.validate(in_flight.item, answer.value))
        except Exception as error:
            self._add_paid(answer)
            in_flight.usage += answer.usage
            in_flight.cost += answer.cost
            why = f"{type(error).__name__}: {error}"
            reason = in_flight.budget.spend_invalid(why)
            return Failure("terminal", error, f"invalid answer, {why}"), reason
        return None, None

    def _note_fallback(self, in_flight: InFlightItem, result: ItemResult[T], number: int) -> None:
        self._totals.retries += 1
        now, why = anyio.current_time(), f"to fallback {number}: {result.reason}"
        self._decisions.record(Decision("retried", now, item=in_flight.item.id, reason=why, until=now))

    async def _request(
        self, gate: Gate, ticket: Ticket, in_flight: InFlightItem, strategy: LLMCallStrategy[T]
    ) -> CallResult[T] | Failure:
        """Send one request; nothing is awaited between its end and the report to the gate."""
        self._totals.requests += 1
        in_flight.budget.attempts += 1
        scope = None
        try:
            with self._time_limit() as scope:
                answer = await strategy.execute(in_flight.sent)
        except (Exception, asyncio.CancelledError) as error:
            if cancels_this_task(error):
                raise
            in_flight.cut_off = scope is not None and scope.cancelled_caught
            return self._handle_error(gate, ticket, in_flight, error)
        else:
            result = answer if isinstance(answer, CallResult) else CallResult(answer)
            gate.succeeded(ticket, result.usage.total or None)
            self._judge.watch_of(gate).succeeded(ticket)
            if result.info is not None:
                gate.learn(result.info, ticket)
            return result
        finally:
            gate.leave(ticket)

    async def _enter(self, gate: Gate, in_flight: InFlightItem, *, has_next: bool) -> Ticket | None:
        """Wait until the request may be sent; `None` if the gate is closed, or to leave it for a fallback.

        Raises:
            StoppedSending: the run sends nothing more.
        """
        # Held in the line of one gate, a permit would hold back items at other gates.
        permit = HeldPermit(self._permits, in_flight) if self._gates.has_several_scopes else None
        while True:
            try:
                ticket = await self._ticket(gate, in_flight, permit, has_next=has_next)
            except GateClosed as closed:
                if gate.closed_because is not None:
                    return None
                raise StoppedSending(str(closed)) from None
            if ticket is None:
                return None
            reached = self._bound_reached()
            if reached is None:
                await self._record_start(gate, ticket, in_flight)
                reached = self._bound_reached()
                if reached is None and gate.admits(ticket):
                    return ticket
                await self._record_end(in_flight, is_open=True)
            gate.leave(ticket)
            if reached is not None:
                raise StoppedSending(reached)

    async def _ticket(
        self, gate: Gate, in_flight: InFlightItem, permit: HeldPermit | None, *, has_next: bool
    ) -> Ticket | None:
        """The ticket of the gate; `None` if there is another provider and this one is away.

        Raises:
            GateClosed: the gate was closed.
        """
        tokens = self._estimate.tokens(in_flight.sent)
        if not has_next:
            return await gate.enter(tokens, permit=permit)
        watch = self._judge.watch_of(gate)
        if watch.is_outage and watch.needs_no_probe and not gate.closed:
            return None
        with watch.left_when_away():
            return await gate.enter(tokens, permit=permit)
        if not in_flight.holds_permit:
            await self._permits.acquire(in_flight)
        return None

    async def _record_start(self, gate: Gate, ticket: Ticket, in_flight: InFlightItem) -> None:
        """Record in the store that a request is about to be sent; if that is cancelled, that it was not."""
        if self.options.store is None:
            return
        try:
            await self.options.store.started(in_flight.item, in_flight.budget.attempts + 1)
        except BaseException as error:
            gate.leave(ticket)
            if not isinstance(error, Exception):
                await self._record_end(in_flight, is_open=True)
            raise

    async def _record_end(self, in_flight: InFlightItem, *, is_open: bool) -> None:
        """Record new pauses in the store and, if `is_open`, that nothing of it is under way."""
        if self.options.store is not None:
            with anyio.CancelScope(shield=True):
                await self._gates.store_new_pauses()
                if is_open and not in_flight.cut_off:
                    await self.options.store.ended(in_flight.item, in_flight.budget.attempts)

    def _bound_reached(self) -> str | None:
        """The bound that was reached, in words, or `None`."""
        totals, bounds = self._totals, self.options.bounds
        return None if bounds is None else bounds.reached(totals.requests, totals.usage, totals.cost)

    def _handle_error(
        self, gate: Gate, ticket: Ticket, in_flight: InFlightItem, error: BaseException
    ) -> Failure:
        failure = self._classify(error)
        if failure.closes and failure.retry_after_seconds and self.options.on_quota == "wait":
            failure = replace(failure, kind="rate-limited")
        if failure.pauses or failure.closes:
            self._totals.refusals += 1
            now = anyio.current_time()
            refused = Decision("refused", now, gate.name, item=in_flight.item.id, reason=failure.reason)
            self._decisions.record(refused)
        self._gates.set_refusal(failure)
        if failure.pauses:
            self._judge.pause(gate, ticket, failure)
        elif failure.closes:
            gate.exhausted(ticket, failure.reason)
        self._gates.set_refusal(None)
        if failure.info is not None:
            gate.learn(failure.info, ticket)
        return failure

    def _classify(self, error: BaseException) -> Failure:
        try:
            failure = self.options.error_classifier(error)
            if not isinstance(failure, Failure):
                raise TypeError(f"it must return a Failure, not {failure!r}")
        except Exception as raised:
            raise CallbackFailed("classifier", raised) from raised
        return failure

    async def _back_off(self, gate: Gate, in_flight: InFlightItem, failure: Failure) -> None:
        kind: DecisionKind = "recovered" if failure.worker_died else "retried"
        self._totals.recoveries += failure.worker_died
        self._totals.retries += not failure.worker_died
        waits_at_gate = self._judge.watch_of(gate).is_outage
        seconds = 0.0 if waits_at_gate else in_flight.budget.backoff_seconds(failure)
        now = anyio.current_time()
        self._decisions.record(
            Decision(kind, now, item=in_flight.item.id, reason=failure.reason, until=now + seconds)
        )
        if seconds <= 0:
            return
        rest = partial(gate.rest, now + seconds)
        if self._judge.watch_of(gate).many_failed and not self._gates.has_several_scopes:
            # The provider may be away: another item in place of this one would only fail as well.
            await rest()
        else:
            await self._permits.wait_without(in_flight, rest)

    def _successful_result(self, in_flight: InFlightItem, answer: CallResult[T]) -> ItemResult[T]:
        self._add_paid(answer)
        return ItemResult(
            in_flight.item.id,
            answer.value,
            attempts=in_flight.budget.attempts,
            usage=in_flight.usage + answer.usage if in_flight.usage.total else answer.usage,
            cost=in_flight.cost + answer.cost,
            seconds=anyio.current_time() - in_flight.began,
        )

    def _add_paid(self, answer: CallResult[T]) -> None:
        """Add an answer to the totals, whether it is valid or not."""
        totals = self._totals
        totals.answers += 1
        totals.cost += answer.cost
        if answer.usage.total:
            totals.usage += answer.usage

    def _gate_of(self, item: LLMWorkItem[Any], strategy: LLMCallStrategy[T]) -> Gate:
        try:
            return self._gates.of(item, strategy)
        except Exception as error:
            raise CallbackFailed("scope", error) from error

    def _time_limit(self) -> AbstractContextManager[anyio.CancelScope | None]:
        seconds = self.options.request_seconds
        return nullcontext() if seconds is None else anyio.fail_after(seconds)


def _failed_result(in_flight: InFlightItem, failure: Failure, reason: str) -> ItemResult[Any]:
    limit = limit_met(failure, wall_seconds())
    if limit is not None and limit.resets is not None and RESETS not in reason:
        reason = f"{reason}{RESETS}{short_clock_text(limit.resets, limit.met.timestamp())}"
    return ItemResult(
        in_flight.item.id,
        error=failure.error,
        attempts=in_flight.budget.attempts,
        reason=reason,
        usage=in_flight.usage,
        cost=in_flight.cost,
        cause=failure.reason if limit is None else limit.cause,
        limit=limit,
        seconds=anyio.current_time() - in_flight.began,
        unfinished=failure.closes,
    )


def _not_sent_result(in_flight: InFlightItem, reason: str) -> ItemResult[Any]:
    cause = f"not asked: {reason}"
    error = NotSent(f"item {in_flight.item.id!r} was {cause}; add it to a new batch when that is over")
    return _failed_result(in_flight, Failure("terminal", error, cause, closes=True), cause)


def _after_fallback(earlier: ItemResult[T], later: ItemResult[T]) -> ItemResult[T]:
    """The result of an item after a fallback: if both failed, both reasons, and open if one of them is."""
    if later.error is None:
        return later
    reason = f"{earlier.reason}; then fallback: {later.reason}"
    return replace(later, reason=reason, unfinished=earlier.unfinished or later.unfinished)
