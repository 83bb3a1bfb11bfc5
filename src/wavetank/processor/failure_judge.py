"""Decides what a failed request means: for its item, for its scope, and for the run."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Final, final

import anyio

from .errors.request_failure import Failure
from .gate.gate import Gate
from .gate.gates import Gates
from .gate.permits import Permits
from .gate.tickets import Ticket
from .in_flight_item import InFlightItem
from .outages import OutageWatch, Suspect
from .processor_options import ProcessorOptions

LOOK_AGAIN_SECONDS: Final = 1.0
"""How often an item that waits for the verdict on its error looks for one: about as often as answers come."""


@final
class FailureJudge:
    """Decides whose error a failure is: that of its item, of an outage, or of the key.

    Args:
        options: those of the processor.
        gates: the gates of the run.
        permits: an item that waits for the verdict gives its permit back meanwhile.
        stop_run: ends the run, for a reason in words, because of a scope.
    """

    def __init__(
        self,
        options: ProcessorOptions,
        *,
        gates: Gates,
        permits: Permits,
        stop_run: Callable[[str, str], object],
    ) -> None:
        self.options = options
        self._gates = gates
        self._permits = permits
        self._stop_run = stop_run
        self._watches: dict[Gate, OutageWatch] = {}
        self.served_earlier = False
        """Whether an earlier run had answers."""

    async def judge(
        self, gate: Gate, ticket: Ticket, in_flight: InFlightItem, failure: Failure
    ) -> tuple[Failure, str | None]:
        """Decide whose error a failure is; return it and why the item has failed, or `None` to try again.

        Nothing is awaited between a failure and the pause of an outage.
        """
        watch = self.watch_of(gate)
        if failure.denied and (gate.closed or self._is_denied_for_all(watch, failure)):
            return self._close(gate, ticket, failure, failure.words)
        if not failure.may_be_outage:
            return failure, in_flight.budget.spend(failure, anyio.current_time())
        suspect = watch.failed(in_flight.number, in_flight.budget, ticket, anyio.current_time())
        reason = None
        if not watch.is_outage:
            reason = in_flight.budget.spend(failure, anyio.current_time())
            watch.begin_if_many_fail()
        if reason is not None and not watch.is_outage:
            await self._wait_for_others(watch, suspect, in_flight, failure)
        if gate.closed:
            # The run has ended, and it is not known whose error it was.
            return failure, None
        return self._wait_out(watch, ticket, failure) or (failure, None if suspect.spared else reason)

    def _is_denied_for_all(self, watch: OutageWatch, failure: Failure) -> bool:
        # The key may have changed since an earlier run. But a filter may refuse one prompt with a 403,
        # and a run that stops at it each time would never come to the others.
        return watch.denied(served_earlier=self.served_earlier and failure.forbidden)

    async def _wait_for_others(
        self, watch: OutageWatch, suspect: Suspect, in_flight: InFlightItem, failure: Failure
    ) -> None:
        """An item has used up its attempts while others fail, too: wait until it is known why."""
        while watch.may_be_cause(suspect, failure) and not watch.gate.closed:
            if not watch.undecided:
                watch.begin()
                return
            until = anyio.current_time() + LOOK_AGAIN_SECONDS
            await self._permits.wait_without(in_flight, partial(watch.gate.rest, until))

    def _wait_out(
        self, watch: OutageWatch, ticket: Ticket, failure: Failure
    ) -> tuple[Failure, str | None] | None:
        """Pause for an outage, or end the work if it has lasted too long; `None` if there is time left."""
        most, now = self.options.max_outage_seconds, anyio.current_time()
        lasted = watch.seconds(now)
        # An overload is never the fault of an item, so this needs no other item that fails.
        if (watch.is_outage or (failure.overloaded and lasted > 0)) and lasted >= most:
            reason = f"outage: no request succeeded for {lasted:.0f} s, last: {failure.words}"
            return self._close(watch.gate, ticket, failure, reason)
        if watch.is_outage:
            latest = watch.latest_probe(most, now)
            watch.gate.refused(ticket, outage=f"outage: {failure.reason}", latest=latest)
        return None

    def pause(self, gate: Gate, ticket: Ticket, failure: Failure) -> None:
        """Pause for a refusal, or for an error that states a wait."""
        watch = self.watch_of(gate)
        latest = watch.latest_probe(self.options.max_outage_seconds, anyio.current_time())
        gate.refused(
            ticket,
            failure.retry_after_seconds,
            outage=f"outage: {failure.reason}" if watch.is_outage and failure.may_be_outage else None,
            latest=latest if failure.overloaded else math.inf,
        )

    def _close(self, gate: Gate, ticket: Ticket, failure: Failure, reason: str) -> tuple[Failure, str | None]:
        """Send nothing more in this scope, and nothing at all if it is the only one.

        The items that have no outcome are left for later, also this one.
        """
        if not self._gates.has_several_scopes:
            self._stop_run(reason, gate.name)
            return failure, None
        if not gate.closed:
            gate.exhausted(ticket, reason)
        return replace(failure, closes=True), reason

    def watch_of(self, gate: Gate) -> OutageWatch:
        """The watch of a gate."""
        watch = self._watches.get(gate)
        if watch is None:
            watch = self._watches[gate] = OutageWatch(gate)
        return watch

    def scopes_away(self) -> tuple[str, ...]:
        """The scopes whose provider is away now."""
        return tuple(gate.name for gate, watch in self._watches.items() if watch.is_outage)
