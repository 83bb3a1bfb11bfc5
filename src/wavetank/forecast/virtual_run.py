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
from ..processor import (
    CallResult,
    ItemResult,
    ItemTooLarge,
    LLMWorkItem,
    NotSent,
    ParallelBatchProcessor,
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
from ..seams.errors import QuotaExhausted, RequestTooLarge
from ..sim.asyncio_loop import SimulatedLoop
from ..sim.asyncio_run import run_asyncio
from ..sim.scheduler import Scheduler
from ..sim.timers import Timers
from ..tank.client_waits import VirtualWaits
from .workload import Lengths, Workload

OnQuota = Literal["fail", "wait"]

ROWS_AHEAD: Final = 1000
"""As many rows as `wavetank run` starts while the result of an earlier one is missing."""
_PARTS: Final = 11
"""A first part and ten more: a usual number for batch means (Law, Simulation Modeling and Analysis)."""
_TEXT: Final = (Block("text", ("…",)),)
"""What every answer says: nobody reads it, and only its length in tokens counts."""


@final
class Setup(msgspec.Struct, frozen=True, kw_only=True):
    """What one run is made with: how many requests at once, the provider, and what its tokens cost.

    `price_input` and `price_output` are for a million tokens. The headers of `vendor` state the limits.
    """

    parallel: int
    scenario: Scenario
    model: str
    on_quota: OnQuota = "fail"
    price_input: float | None = None
    price_output: float | None = None
    vendor: str = "openai"


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


def run_once(setup: Setup, workload: Workload, seed: int, *, client: Client | None = None) -> RunFigures:
    """Send all rows to the provider in virtual time; the same arguments give the same figures.

    Args:
        setup: what the run is made with.
        workload: its rows.
        seed: draws what the workload and the scenario leave open.
        client: sends the rows; by default the reference processor.

    Raises:
        Exception: any error of the client.
    """
    scheduler = Scheduler(Timers())
    run = BatchRun(setup, workload.drawn(seed), seed, scheduler)
    with creation_order(scheduler):
        ended = run_asyncio(
            lambda: (client or processor)(run), scheduler, started=run.began, ended=lambda _: None
        )
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
        self._log = _Log()
        self._desk = Desk(
            provider,
            scheduler.timers,
            self._log,
            waits=VirtualWaits(scheduler),
            faults=setup.scenario.fault,
            hosts=hosts_of(setup.scenario),
            progress=lambda _: self._progress(),
            keep_records=False,
        )
        self._sent, self._done = array("q"), array("q")
        self._input, self._output = array("q"), array("q")
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
        now = self._scheduler.timers.now
        request = Request(
            model=self.setup.model,
            item=str(number),
            declared=True,
            prompt="",
            prompt_tokens=self.lengths.input[number],
            secret=DEFAULT_KEY,
            card=self._dialect.card,
        )
        sent = now()
        answer = await answered(self._desk, request)
        self._sent.append(sent)
        self._done.append(now())
        self._input.append(answer.prompt_tokens)
        self._output.append(answer.completion_tokens)
        usage = TokenUsage(answer.prompt_tokens, answer.completion_tokens)
        return CallResult(None, usage, info=self._stated(request, answer.limits))

    def _stated(self, request: Request, limits: LimitState) -> RateInfo | None:
        """What the client reads in the headers of an answer."""
        headers = dict(self._dialect.limits(request, limits))
        wall = EPOCH_SECONDS + self._scheduler.timers.now() / SECOND
        return rate_info(headers, now=wall) if headers else None

    def _answer(self, request: Request) -> Content:
        number = int(request.item or 0)
        lasts = -1 if self.lengths.lasts is None else self.lengths.lasts[number]
        return Content(_TEXT, "stop", self.lengths.output[number], None if lasts < 0 else lasts)

    def completed_row(self) -> None:
        """A row has its answer."""
        self.last_row = self._scheduler.timers.now()
        self.first_row = self.last_row if self.first_row is None else self.first_row
        self.completed += 1

    def figures(self) -> RunFigures:
        """What the run came to."""
        tokens_in, tokens_out = sum(self._input), sum(self._output)
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
        done = sorted(self._done)
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
        order = sorted(range(len(self._sent)), key=self._sent.__getitem__)
        middle = order[len(order) // 4 : len(order) * 3 // 4]
        if not middle:
            return {}, 0.0
        lasted = self._sent[order[len(order) * 3 // 4]] - self._sent[middle[0]]
        minutes = max(lasted, 1) / (60 * SECOND)
        tokens_in, tokens_out = (sum(map(each.__getitem__, middle)) for each in (self._input, self._output))
        rates = {
            "requests": len(middle) / minutes,
            "input_tokens": tokens_in / minutes,
            "output_tokens": tokens_out / minutes,
            "tokens": (tokens_in + tokens_out) / minutes,
        }
        return rates, sum(self._done[each] - self._sent[each] for each in middle) / max(lasted, 1)


@final
class _Log:
    """Counts the events of a run, and keeps none."""

    def __init__(self) -> None:
        self.arrived = self.items = 0
        self.refused: Counter[str] = Counter()
        self._seen: set[str | None] = set()

    def append(self, event: Event, /) -> None:
        """Count an event."""
        if event.kind == "arrived":
            self.arrived += 1
            self._seen.add(event.item)
            self.items = len(self._seen)
        elif event.kind == "refused":
            self.refused[event.reason or "refused"] += 1


Client = Callable[[BatchRun], Coroutine[Any, Any, None]]


async def processor(run: BatchRun) -> None:
    """Send the rows as `wavetank run` does, with the reference processor."""
    per_answer: list[float] = [0.0, 0.0]

    async def call(id: str) -> CallResult[None]:
        answer = await run.call(int(id))
        per_answer[0] += answer.usage.output_tokens
        per_answer[1] += 1
        return answer

    def estimate(item: LLMWorkItem[None]) -> float:
        mean = per_answer[0] / per_answer[1] if per_answer[1] else 256
        return run.lengths.input[int(item.id)] + mean

    parallel = run.setup.parallel
    async with ParallelBatchProcessor(
        call,
        workers=parallel,
        estimate_tokens=estimate,
        on_quota=run.setup.on_quota,
        batch_size=max(ROWS_AHEAD, 2 * parallel),
    ) as batch:
        async for result in batch.process(_items(run)):
            if result.error is None:
                run.completed_row()
            else:
                run.undone[_cause(result)] += 1


def _cause(result: ItemResult[None]) -> str:
    """Why a row has no answer, in words without a time, so that it is equal for all rows."""
    error = result.error
    if isinstance(error, QuotaExhausted | NotSent):
        return "the quota is spent"
    if isinstance(error, RequestTooLarge | ItemTooLarge):
        return "larger than a limit ever lets through"
    if result.limit is not None:
        return result.limit.cause
    return result.cause or result.reason or type(error).__name__


def _items(run: BatchRun) -> Iterable[LLMWorkItem[None]] | AsyncIterator[LLMWorkItem[None]]:
    if run.lengths.arrives is None:
        return (LLMWorkItem(str(number), str(number)) for number in range(run.rows))
    return _arriving(run)


async def _arriving(run: BatchRun) -> AsyncIterator[LLMWorkItem[None]]:
    async for number in run.arrivals():
        yield LLMWorkItem(str(number), str(number))
