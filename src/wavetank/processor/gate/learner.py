"""Finds an unknown rate: doubles it until the first refusal, then goes by the evidence."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final, final

from .choice import best_rate
from .crowd import Crowd
from .limit_set import Bounds, LimitSet
from .sent_requests import LATE, PATIENCE_SECONDS, Sent, SentRequests
from .tickets import Ticket

LOWEST_PER_SECOND: Final = 1 / 120
"""The slowest limit that is looked for at first: one request in two minutes."""
STEP_SECONDS: Final = 1.0
"""As long as no answer is known, the rate doubles after so long: providers refuse within a second."""
SHORT_SECONDS: Final = 6.0
"""Work that takes no longer at the present rate is not worth a refusal, which takes a second of it."""
SHORT_GROWTH_PER_SECOND: Final = 0.15
"""So the rate grows by so much in a second: by half in the time that it takes to be refused once or twice."""
SHARE_OF_TIME: Final = 0.02
"""Looking for a higher limit may cost so much of the time."""
SHARE_OF_REQUESTS: Final = 0.01
"""And so many of the requests may be refused for it."""
LEAST_HOLD_SECONDS: Final = 10.0
"""And it is not looked for more often than this: a limit that changes does so after minutes or hours."""
COSTLY_PROBE: Final = 1.05
"""The first step above a limit at which a refusal costs time."""
FREE_PROBE: Final = 1.5
"""The first step where it costs none, since the bucket earns in the pause what is not sent."""
HELD: Final = 0.998
"""The rate is held so far below what was proved: that is known to within two in a thousand."""
PRICE_SECONDS: Final = 0.1
"""What a refused request costs beside the pause: it is paid for in time, if not in money."""
FREE_REFUSALS: Final = 4
"""So many are needed to find a limit: that there is one, how deep the bucket is, and the rate, twice."""
FAIR_SHARE: Final = 0.02
"""When beyond these one request in fifty is refused the price is twice as high, when two are five times."""
SHORTEST_ANSWER_SECONDS: Final = 1e-6
"""Keeps the rate of one worker finite when virtual time gives an answer at once."""
RELAPSE_SECONDS: Final = 10.0
"""If the evidence contradicts itself again within this time, the limits looked at are twice as far apart."""
FIRST_SPREAD: Final = 1.1
"""How far beside the known bounds the limit may be when the evidence contradicts itself."""
CATCH_UP_SECONDS: Final = 2.0
"""What could not be sent during a pause is spread over so long, so that it makes no herd."""
LEAST_SURPLUS_SECONDS: Final = 0.1
"""What would be made good by less than this is within what the depth is known by."""
REAIMED_SECONDS: Final = 0.05
"""The rate is chosen again after the requests of so long."""
REFUSED_IN_A_ROW: Final = 8
"""The search for a limit is over after five or six refusals."""
SENDS_BETWEEN: Final = 2.5
"""If so many refusals come with no more requests for each, they have another cause than the rate."""
MUCH_LOWER: Final = 0.6
"""A rate below this share of another would be let through clearly longer, if the rate were the cause."""
SAME_RUN: Final = 1.2
"""Up to so many times as long is not longer: a bucket would last one and two thirds times as long."""
FIRST_SURPRISES: Final = 2
"""A limit that has changed contradicts the evidence once; what was learnt since then fits it."""
MUCH_SOONER: Final = 0.5
"""If the rate is not the cause, a higher one is let through as long, but for the time of a pause."""
DOUBTED_AFTER: Final = 3
"""A known limit is doubted after so many refusals: one or two have another cause, such as an outage."""
DOUBTED_SECONDS: Final = 60.0
"""Within this time."""
OWN_CAUSE_SECONDS: Final = 1.0
"""A request that is sent alone after so long a pause, and refused, was not too fast."""


def unknown() -> float:
    """The number of requests that are still to be sent, where it is not known: any number."""
    return math.inf


@final
class Learner:
    """The rate of requests, where no limit is known, and how many may be under way.

    Before the first refusal the rate doubles each time a request of the present rate has been
    answered, but not while an answer is overdue. From the first refusal on, `LimitSet` has the
    limits that fit what was seen, and `best_rate` chooses. After a while without a refusal, higher
    limits become possible again.

    Args:
        start: the first rate, in requests in a second.
        left: how many requests are still to be sent.
    """

    def __init__(self, start: float, *, left: Callable[[], float] = unknown) -> None:
        self.highest = math.inf
        """The rate never goes above this."""
        self._left = left
        self.sent: Final = SentRequests()
        self._crowd = Crowd()
        self._set = LimitSet()
        self._start = start
        self._rate = start
        self._safe = start
        self._limited = False
        self._held_back = False
        self._step_began: float | None = None
        self._step_first = self._next = 1
        self._next_aim = 0
        self._bounds = Bounds(LOWEST_PER_SECOND, math.inf)
        self._depth = 1.0
        self._pause = self._pauses_alone = 0.0
        self._refused_at = self._restarted_at = -math.inf
        self._waves = self._in_wave = 0
        self._of_late: list[float] = []
        self._refused_numbers: list[int] = []
        self._ignored_until = self._surprised_at = -math.inf
        self._surprises, self._surprises_needed = 0, FIRST_SURPRISES
        self._ignored_run = 0.0
        self._resumes_at = self._refused_rate = self._refused_run = 0.0
        self._spread = FIRST_SPREAD
        self._probe_from = 0.0
        self._probe_to: float | None = None
        self._probed = False

    @property
    def per_second(self) -> float:
        """The requests in a second that may start now."""
        return self._rate if self._set.mean_tokens is not None else min(self._rate, self.highest)

    @property
    def burst(self) -> float:
        """How many requests the bucket has been proved to let in at one instant."""
        return self._depth

    @property
    def room(self) -> float:
        """How many requests may be under way."""
        return self._crowd.room

    @property
    def mean_tokens(self) -> float | None:
        """The tokens of a mean request, if the limit counts tokens: then rates are in such requests."""
        return self._set.mean_tokens

    @property
    def was_refused(self) -> bool:
        """Whether a refusal has shown a limit on the rate."""
        return self._limited

    def attach(self, left: Callable[[], float]) -> None:
        """Ask another function how many requests are still to be sent."""
        self._left = left

    def set_known(self, rate: float) -> None:
        """Take a rate that is configured or stated: it is sent at, and never more."""
        self.highest = rate
        if not self._limited and self._set.mean_tokens is None:
            self._rate = self._safe = rate

    def retune(self, rate: float | None, now: float) -> None:
        """Send at another rate that the caller has configured, or learn it from now on."""
        self.highest = math.inf if rate is None else rate
        if rate is None:
            if not self._limited:
                self._rate = self._safe = max(self._rate, self._start)
        elif self._set.mean_tokens is None:
            self._search_again(rate, now)

    def start(self, ticket: Ticket) -> None:
        """A request starts."""
        self.sent.add(ticket, self.per_second)
        self._next = ticket.number + 1
        if self._step_began is None:
            self._step_began = ticket.sent

    def wait(self, now: float) -> float | None:
        """The rate holds a request back now: the instant before which nothing may start, if there is one."""
        self._held_back = True
        self._settle(now)
        if self._limited:
            self._follow(now)
        elif self.sent.longest_answer is None and self._step_is_old(now):
            self._grow(now)
        late = self.sent.overdue(now)
        if late is None:
            return None
        if self._limited:
            self._rate = min(self._rate, self._bounds.low)
            return None
        self._rate = self._safe
        return late.at + PATIENCE_SECONDS + 1e-6

    def rest(self) -> None:
        """The rate holds nothing back: it says nothing about higher ones."""
        self._held_back = False

    def answered(self, ticket: Ticket, now: float, tokens: float | None = None) -> None:
        """A request was answered, and not refused; it took so many tokens, if that is known."""
        self.sent.answered(ticket, now, tokens)
        self._settle(now)
        self._crowd.try_more(now, max(self._pause / SHARE_OF_TIME, LEAST_HOLD_SECONDS))
        if self._limited:
            self._follow(now)
            return
        if self._held_back and ticket.number >= self._step_first:
            self._grow(now)
        # One worker alone, who waits for each answer, would send as fast.
        alone = 1 / max(self.sent.longest_answer or 0.0, SHORTEST_ANSWER_SECONDS)
        self._rate = min(max(self._rate, alone), self.highest)

    def refused(self, ticket: Ticket, pause: float, now: float, *, alone: bool) -> None:
        """A request was refused, the first one of a wave.

        Args:
            ticket: that of the request.
            pause: for how long nothing will be sent, in seconds.
            now: the instant of the refusal.
            alone: whether no other request was sent since the pause before.
        """
        one = self.sent.refused(ticket, now)
        for other in self.sent.settle_before(ticket):
            self._let_in(other)
        if one is None:
            return
        self._waves, self._in_wave = self._waves + 1, 1
        self._pause, self._refused_at = pause + now - ticket.sent, now
        self._probed, self._probe_to = self._probe_to is not None, None
        if self._crowd.refused(one):
            return
        self._refused_numbers = [*self._refused_numbers[1 - REFUSED_IN_A_ROW :], ticket.number]
        if self._no_rate_helps():
            self._refused_numbers.clear()
            self._search_again(self._start, now)
            self._ignored_until = now + DOUBTED_SECONDS
        if now < self._ignored_until:
            sooner = one.at - self._resumes_at < self._ignored_run * MUCH_SOONER
            if sooner and not alone and self._ignored_until == math.inf:
                self._rate_was_the_cause(one, now)
            self._resumes_at = now + pause
            return
        own_cause = ticket.number == 1 or (alone and pause >= OWN_CAUSE_SECONDS)
        if not self._limited and self.highest < math.inf and not self._contradicts_known(now):
            return
        self._pauses_alone = self._pause = self._pause + (self._pauses_alone if own_cause else 0.0)
        if self._crowd.is_proved(rate_is_possible=not own_cause):
            self._keep_cap(now)
        elif not own_cause:
            self._limit(one, now, alone=alone)
        self._resumes_at = now + pause

    def refused_too(self, ticket: Ticket, now: float) -> None:
        """Another request of the same wave was refused."""
        self._in_wave += 1
        self.sent.refused(ticket, now)

    def _contradicts_known(self, now: float) -> bool:
        """Whether so many refusals came of late that less is let through than is stated or configured."""
        self._of_late = [at for at in self._of_late if now - at < DOUBTED_SECONDS]
        self._of_late.append(now)
        return len(self._of_late) >= DOUBTED_AFTER

    # -- before the first refusal --------------------------------------------------------------

    def _step_is_old(self, now: float) -> bool:
        began = self._step_began
        return began is not None and now - began >= STEP_SECONDS and self._next > self._step_first + 1

    def _grow(self, now: float) -> None:
        if self.sent.overdue(now) is not None or self._step_began is None:
            return
        self._safe = self._rate
        if self._left() < SHORT_SECONDS * self._rate:
            self._rate *= 1 + SHORT_GROWTH_PER_SECOND * min(STEP_SECONDS, now - self._step_began)
        else:
            self._rate *= 2
        self._rate = min(self._rate, self.highest)
        self._step_first, self._step_began = self._next, now

    # -- after it --------------------------------------------------------------------------------

    def _settle(self, now: float) -> None:
        for one in self.sent.settle(now, limited=self._limited):
            self._let_in(one)

    def _let_in(self, one: Sent) -> None:
        self._set.admit(one.at, one.tokens)
        self._crowd.served(one)

    def _limit(self, one: Sent, now: float, *, alone: bool) -> None:
        """Take a refusal for one of the rate, unless that contradicts all that was seen."""
        if self._cut_was_useless(one):
            self._ignore(one, now)
            return
        first = not self._limited
        self._limited = True
        self._set.restore_refusals()
        self._set.refuse(one.at, one.tokens)
        if first or not self._set.rates:
            self._set.span(LOWEST_PER_SECOND, LATE * max(one.rate, self._rate))
        if self._set.narrow() is not None:
            self._surprises = 0
            self._aim(now)
            return
        if self._crowd.is_proved(rate_is_possible=False):
            self._keep_cap(now)
            return
        if alone:
            self._set.take_back_refusal()
        elif first or (not self._probed and self._is_surprised_again(now)):
            self._ignore(one, now)
            return
        self._aim(now)

    def _no_rate_helps(self) -> bool:
        """Whether so much was refused, at whatever rate, that the rate cannot be the cause."""
        numbers = self._refused_numbers
        full = len(numbers) == REFUSED_IN_A_ROW
        return full and numbers[-1] - numbers[0] < REFUSED_IN_A_ROW * SENDS_BETWEEN and self._limited

    def _cut_was_useless(self, one: Sent) -> bool:
        """Whether a much lower rate was refused as soon as the higher one: a bucket lasts longer at it."""
        run = one.at - self._resumes_at
        lower = one.rate < MUCH_LOWER * self._refused_rate
        useless = lower and run < SAME_RUN * self._refused_run
        # Many small cuts are compared with the rate before the first one, while none of them has helped.
        same = (
            one.rate <= self._refused_rate
            and self._refused_run / SAME_RUN < run < self._refused_run * SAME_RUN
        )
        if not useless and self._limited and not same:
            self._refused_rate, self._refused_run = one.rate, run
        return useless

    def _is_surprised_again(self, now: float) -> bool:
        """Whether refusals contradicted all that was seen since the last one, several times in a row."""
        if now - self._surprised_at > RELAPSE_SECONDS:
            self._surprises, self._surprised_at = self._surprises + 1, now
        return self._surprises >= self._surprises_needed

    def _ignore(self, one: Sent, now: float) -> None:
        """The refusals have another cause: go on from the higher rate, and learn nothing from them."""
        self._ignored_run, self._surprises = one.at - self._resumes_at, 0
        self._search_again(max(self._refused_rate, self._rate), now)
        self._ignored_until = math.inf

    def _rate_was_the_cause(self, one: Sent, now: float) -> None:
        """A higher rate was refused sooner: limit it as before, and believe less easily in another cause."""
        self._ignored_until = -math.inf
        self._surprises_needed *= 2
        self._limited = True
        self._set = LimitSet(self._set.mean_tokens)
        highest = min(FIRST_SPREAD * self._bounds.high, LATE * max(one.rate, self._rate))
        self._set.span(self._bounds.low / FIRST_SPREAD, highest)
        self._set.refuse(one.at, one.tokens)
        self._aim(now)

    def _search_again(self, rate: float, now: float) -> None:
        """Forget what refusals of another cause seemed to say, and go on from this rate."""
        self._set = LimitSet(self._set.mean_tokens)
        self._limited = False
        self._rate = self._safe = rate
        self._refused_rate = self._refused_run = 0.0
        self._step_first, self._step_began = self._next, now

    def _keep_cap(self, now: float) -> None:
        """The number under way is limited: then nothing is known of the rate."""
        self._crowd.keep_cap(now)
        self._search_again(self._rate, now)

    def _begin_again(self, now: float) -> None:
        """The evidence contradicts itself: the limit counts otherwise, or else it has changed."""
        other = self._set.counting_otherwise()
        if other is not None and other.narrow() is not None:
            self._set = other
            return
        self._spread = self._spread**2 if now - self._restarted_at < RELAPSE_SECONDS else FIRST_SPREAD
        self._restarted_at = now
        low, high = self._bounds.low / self._spread, self._bounds.high * self._spread
        self._set.forget_all_before_refusal(2)
        self._set.span(low, high)
        if self._set.narrow() is None:
            self._set.forget_all()
            self._set.span(low, high)

    def _follow(self, now: float) -> None:
        if self.sent.settled >= self._next_aim:
            self._next_aim = self.sent.settled + max(1, int(REAIMED_SECONDS * self._rate))
            self._aim(now)

    def _aim(self, now: float) -> None:
        """Choose the rate again."""
        bounds = self._set.narrow()
        if bounds is None:
            self._begin_again(now)
            bounds = self._set.narrow()
        if bounds is None:
            return
        bounds = self._with_probe(bounds, now)
        chosen = bounds.low
        if bounds.high * HELD > bounds.low:
            over = max(0, self._waves - FREE_REFUSALS) / (FAIR_SHARE * self._next)
            price = PRICE_SECONDS * (1 + over * over)
            chosen = self._probe_to or best_rate(
                self._set.buckets(bounds, now), bounds, pause=self._pause, price=price
            )
        if chosen * HELD <= bounds.low:
            chosen = bounds.low * HELD
        self._bounds = bounds
        self._rate = min(chosen + self._surplus(bounds, now) / CATCH_UP_SECONDS, self.highest)

    def _surplus(self, bounds: Bounds, now: float) -> float:
        """How many requests more than it earns the bucket has been proved to let in now."""
        backlog = self._set.bucket(bounds.low, now).backlog
        depth = self._set.bucket(min(bounds.high, self._set.rates[-1]), now).shallowest
        # Every bucket holds one request, but perhaps not the tokens of one.
        self._depth = max(1.0, depth) if self._set.mean_tokens is None else depth
        surplus = depth - backlog - self._set.largest
        return surplus if surplus >= LEAST_SURPLUS_SECONDS * bounds.low else 0.0

    def _with_probe(self, bounds: Bounds, now: float) -> Bounds:
        """The bounds with a finite upper end; after a time without a refusal it is above what was refused."""
        low = bounds.low
        time_lost = max(0.0, self._pause - self._set.bucket(low, now).shallowest / low)
        hold = max(time_lost / SHARE_OF_TIME, self._in_wave / (SHARE_OF_REQUESTS * low), LEAST_HOLD_SECONDS)
        if self._probe_to is None and now - self._refused_at > hold:
            self._set.lift(low, 2 * self._set.bucket(low, now).shallowest + 1)
            self._probe_from, self._probe_to = low, low * (COSTLY_PROBE if time_lost else FREE_PROBE)
            self._set.span(low / 1.2, self._probe_to * 1.5)
            low = (self._set.bounds() or bounds).low
        if self._probe_to is None:
            return Bounds(low, max(low, min(bounds.high, self._set.rates[-1])))
        if low >= math.sqrt(self._probe_from * self._probe_to):
            self._probe_to *= self._probe_to / self._probe_from
            if self._probe_to > self._set.rates[-1] / 1.1:
                self._set.span(low / 1.2, self._probe_to * 2)
        return Bounds(low, max(low, self._probe_to))
