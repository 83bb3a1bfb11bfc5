"""One run of a batch in virtual time, with nothing around it but the provider, and what it came to."""

from __future__ import annotations

import math
from array import array
from collections import Counter
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable
from itertools import pairwise
from statistics import stdev
from typing import Any, Final, Literal, final

import anyio
import msgspec

from ..clock import EPOCH_SECONDS, SECOND
from ..events import Event
from ..patches.hash_order import creation_order
from ..patches.pools import pools_under
from ..patches.randomness import Chance
from ..patches.threads import threads_under
from ..processor import (
    CallResult,
    RateInfo,
    TokenUsage,
    rate_info,
)
from ..provider.content import Block, Content
from ..provider.host_rules import hosts_of
from ..provider.model import LimitState
from ..provider.provider import Provider
from ..provider.request import Request
from ..provider.vendor_registry import card_named, dialect_of
from ..scenario import Scenario
from ..seams.desk import Desk
from ..seams.direct import DEFAULT_KEY, answered
from ..sim.asyncio_loop import SimulatedLoop
from ..sim.asyncio_run import run_asyncio
from ..sim.scheduler import Scheduler
from ..sim.timers import Timers
from ..tank.client_waits import VirtualWaits
from .workload import Lengths, Workload

OnQuota = Literal["fail", "wait"]

_PARTS: Final = 11
"""A first part and ten more: a usual number for batch means (Law, Simulation Modeling and Analysis)."""
_TEXT: Final = (Block("text", ("…",)),)
"""What every answer says: nobody reads it, and only its length in tokens counts."""


@final
class Setup(msgspec.Struct, frozen=True, kw_only=True):
    """What one run is made with: how many requests at once, the provider, and what its tokens cost.

    `price_input` and `price_output` are for a million tokens. The headers of `vendor` state the limits.
    `client` is a name as of `client_named`.
    """

    parallel: int
    scenario: Scenario
    model: str
    on_quota: OnQuota = "fail"
    price_input: float | None = None
    price_output: float | None = None
    vendor: str = "openai"
    client: str = "processor"


@final
class RunFigures(msgspec.Struct, frozen=True, kw_only=True):
    """What one run came to; times in seconds from its start.

    `refused` counts by the limit or the wave that refused, `undone` the rows without an answer by their
    cause. `rates` has what was served in a minute in the middle of the run: `requests`, `input_tokens`,
    `output_tokens` and `tokens`; `in_flight` is how many requests were under way then, on average.
    `spread` is the standard deviation of `seconds`, estimated from how much parts of this one run differ.
    """

    seconds: float
    first_row: float | None
    last_row: float | None
    completed: int
    requests: int
    retries: int
    refused: dict[str, int]
    undone: dict[str, int]
    input_tokens: int
    output_tokens: int
    cost: float | None
    rates: dict[str, float]
    in_flight: float
    spread: float


Client = Callable[["BatchRun"], Coroutine[Any, Any, None]]
"""Sends all rows of a run."""


def run_once(client: Client, setup: Setup, workload: Workload, seed: int) -> RunFigures:
    """Send all rows to the provider in virtual time; the same arguments give the same figures.

    Args:
        client: sends the rows.
        setup: what the run is made with.
        workload: its rows.
        seed: draws what the workload and the scenario leave open, and the jitter of the client.

    Raises:
        Exception: any error of the client.
    """
    scheduler = Scheduler(Timers())
    run = BatchRun(setup, workload.drawn(seed), seed, scheduler)
    with threads_under(scheduler), pools_under(scheduler), creation_order(scheduler), Chance(seed).lent():
        ended = run_asyncio(lambda: client(run), scheduler, started=run.began, ended=lambda _: None)
    if ended.error is not None:
        raise ended.error
    return run.figures()


@final
class BatchRun:
    """The rows, the provider, and what is counted while a client sends them."""

    def __init__(self, setup: Setup, lengths: Lengths, seed: int, scheduler: Scheduler) -> None:
        self.setup = setup
        self.lengths = lengths
        self._scheduler = scheduler
        self._dialect = dialect_of(card_named(setup.vendor))
        self._loop: SimulatedLoop | None = None
        provider = Provider(setup.scenario, seed=seed)
        provider.answers.ask = self._answer
        self._log = _Log(lengths)
        self.desk = Desk(
            provider,
            scheduler.timers,
            self._log,
            waits=VirtualWaits(scheduler),
            faults=setup.scenario.fault,
            hosts=hosts_of(setup.scenario),
            progress=lambda _: self._progress(),
            keep_records=False,
        )
        self.undone: Counter[str] = Counter()
        self.completed = 0
        self.first_row: int | None = None
        self.last_row: int | None = None

    def began(self, loop: SimulatedLoop) -> None:
        """The event loop is there."""
        self._loop = loop

    def _progress(self) -> None:
        self._scheduler.cpu_budget.renew()
        if self._loop is not None:
            self._loop.progress()

    @property
    def rows(self) -> int:
        """How many rows there are."""
        return len(self.lengths.input)

    async def arrivals(self) -> AsyncIterator[int]:
        """The numbers of the rows, each when it arrives."""
        arrives = self.lengths.arrives
        for number in range(self.rows):
            if arrives is not None and arrives[number] > (now := self._scheduler.timers.now()):
                await anyio.sleep((arrives[number] - now) / SECOND)
            yield number

    async def call(self, number: int) -> CallResult[None]:
        """Send one request for a row.

        Raises:
            ProviderError: the subclass that fits the refusal or fault.
        """
        request = Request(
            model=self.setup.model,
            item=str(number),
            declared=True,
            prompt="",
            prompt_tokens=self.lengths.input[number],
            secret=DEFAULT_KEY,
            card=self._dialect.card,
        )
        answer = await answered(self.desk, request)
        usage = TokenUsage(answer.prompt_tokens, answer.completion_tokens)
        return CallResult(None, usage, info=self._stated(request, answer.limits))

    def _stated(self, request: Request, limits: LimitState) -> RateInfo | None:
        """What the client reads in the headers of an answer."""
        headers = dict(self._dialect.limits(request, limits))
        wall = EPOCH_SECONDS + self._scheduler.timers.now() / SECOND
        return rate_info(headers, now=wall) if headers else None

    def _answer(self, request: Request) -> Content:
        number = int(request.item or 0)
        request.prompt_tokens = self.lengths.input[number]
        lasts = -1 if self.lengths.lasts is None else self.lengths.lasts[number]
        return Content(_TEXT, "stop", self.lengths.output[number], None if lasts < 0 else lasts)

    def completed_row(self) -> None:
        """A row has its answer."""
        self.last_row = self._scheduler.timers.now()
        self.first_row = self.last_row if self.first_row is None else self.first_row
        self.completed += 1

    def figures(self) -> RunFigures:
        """What the run came to."""
        tokens_in, tokens_out = self._log.tokens(self._log.served)
        rates, in_flight = self._middle()
        arrived = self._log.arrived
        return RunFigures(
            seconds=self._scheduler.timers.now() / SECOND,
            first_row=None if self.first_row is None else self.first_row / SECOND,
            last_row=None if self.last_row is None else self.last_row / SECOND,
            completed=self.completed,
            requests=arrived,
            retries=arrived - self._log.items,
            refused=dict(sorted(self._log.refused.items())),
            undone=dict(self.undone.most_common()),
            input_tokens=tokens_in,
            output_tokens=tokens_out,
            cost=self._cost(tokens_in, tokens_out),
            rates=rates,
            in_flight=in_flight,
            spread=self._spread(),
        )

    def _spread(self) -> float:
        """By the method of batch means: each part of the run is as random as the others."""
        done = sorted(self._log.done)
        if len(done) < 2 * _PARTS:
            return 0.0
        ends = [0, *(done[len(done) * part // _PARTS - 1] for part in range(1, _PARTS + 1))]
        lengths = [(end - begin) / SECOND for begin, end in pairwise(ends)]
        # The first part has the start in it, when nothing is learnt yet: it is no sample of the rest.
        return stdev(lengths[1:]) * math.sqrt(_PARTS)

    def _cost(self, tokens_in: int, tokens_out: int) -> float | None:
        setup = self.setup
        if setup.price_input is None or setup.price_output is None:
            return None
        return (setup.price_input * tokens_in + setup.price_output * tokens_out) / 1_000_000

    def _middle(self) -> tuple[dict[str, float], float]:
        """What was served in a minute, and how much was under way, while the middle half was sent."""
        sent, done = self._log.sent, self._log.done
        order = sorted(range(len(sent)), key=sent.__getitem__)
        middle = order[len(order) // 4 : len(order) * 3 // 4]
        if not middle:
            return {}, 0.0
        lasted = sent[order[len(order) * 3 // 4]] - sent[middle[0]]
        minutes = max(lasted, 1) / (60 * SECOND)
        tokens_in, tokens_out = self._log.tokens(map(self._log.served.__getitem__, middle))
        rates = {
            "requests": len(middle) / minutes,
            "input_tokens": tokens_in / minutes,
            "output_tokens": tokens_out / minutes,
            "tokens": (tokens_in + tokens_out) / minutes,
        }
        return rates, sum(done[each] - sent[each] for each in middle) / max(lasted, 1)


@final
class _Log:
    """Counts the events of a run, and keeps of each answer when it was sent and done, and for which row."""

    def __init__(self, lengths: Lengths) -> None:
        self._lengths = lengths
        self.sent, self.done, self.served = array("q"), array("q"), array("q")
        self.arrived = 0
        self.refused: Counter[str] = Counter()
        self._open: dict[int | None, int] = {}
        self._seen = bytearray(len(lengths.input))

    def append(self, event: Event, /) -> None:
        """Count an event."""
        if event.kind == "arrived":
            self.arrived += 1
            self._seen[int(event.item or 0)] = 1
            self._open[event.request] = event.at
        elif event.kind in ("delivered", "left"):
            sent = self._open.pop(event.request)
            if event.kind == "delivered" and event.status == 200 and event.fault is None:
                self.sent.append(sent)
                self.done.append(event.at)
                self.served.append(int(event.item or 0))
        elif event.kind == "refused":
            self.refused[event.reason or "refused"] += 1

    @property
    def items(self) -> int:
        """How many rows were sent at least once."""
        return sum(self._seen)

    def tokens(self, served: Iterable[int]) -> tuple[int, int]:
        """The tokens of these rows, in and out."""
        rows = tuple(served)
        return sum(map(self._lengths.input.__getitem__, rows)), sum(
            map(self._lengths.output.__getitem__, rows)
        )
