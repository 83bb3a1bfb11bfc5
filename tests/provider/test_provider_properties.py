"""What holds for every scenario and every order of events, on generated ones."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from hypothesis import given, settings
from hypothesis import strategies as st

from wavetank.clock import MILLISECOND, MINUTE, SECOND, Duration
from wavetank.provider.model import Notice, Reply, Success
from wavetank.provider.provider import Provider
from wavetank.provider.request import Request
from wavetank.scenario import (
    DurationRange,
    Fault,
    Latency,
    Limits,
    Match,
    Ramp,
    RetryAfter,
    Scenario,
    Wave,
)

from ..depth import n_of
from .notices import waves_and_held


@dataclass(frozen=True)
class Step:
    """Something a client does: after `gap`, with the item or the request, counted back, it is about."""

    gap: int
    what: Literal["arrive", "leave", "settle", "late"]
    about: int
    stream: bool


@dataclass
class Course:
    """All that came out of a run."""

    provider: Provider
    replies: list[Reply] = field(default_factory=list)
    notices: list[Notice] = field(default_factory=list)
    arrived: dict[int, Request] = field(default_factory=dict)
    left: set[int] = field(default_factory=set)
    now: int = 0

    def advance(self, now: int) -> None:
        """Collect what is due, each part at its own instant."""
        while (due := self.provider.next_due()) is not None and due <= now:
            self.take(due)
        self.now = now

    def take(self, now: int) -> None:
        self.replies += self.provider.advance(now)
        self.notices += waves_and_held(self.provider, now)

    def finished(self) -> set[int]:
        return {reply.request_id for reply in self.replies if reply.last}

    def silent(self) -> set[int]:
        """The requests in flight that are never answered."""
        return {number for number, fault in self.provider.faults_in_flight() if fault.kind == "no-answer"}


def milliseconds(low: int, high: int) -> st.SearchStrategy[Duration]:
    """Durations in whole milliseconds."""
    return st.integers(low, high).map(lambda ms: Duration(ms * MILLISECOND))


RANGES = st.builds(
    lambda low, more: DurationRange(low, Duration(low + more)), milliseconds(0, 900), milliseconds(0, 900)
)
MATCHES = st.sampled_from([Match(), Match(item="item-[01]"), Match(item="item-2"), Match(model="gpt-*")])
SHARES = st.sampled_from([1.0, 0.5])
RETRY_AFTERS = st.none() | st.builds(
    RetryAfter,
    form=st.sampled_from(["seconds", "ms", "body", "http-date"]),
    value=st.none() | milliseconds(0, 3000),
)
WINDOWS = st.builds(
    lambda lasts, gap, **fields: Wave(
        lasts=lasts, every=None if gap is None else Duration(lasts + gap), **fields
    ),
    lasts=milliseconds(1, 2000),
    gap=st.none() | milliseconds(0, 3000),
    at=milliseconds(0, 3000),
    share=SHARES,
    stagger=st.none() | milliseconds(1, 900),
    scope=st.none() | st.just("item"),
    match=MATCHES,
    retry_after=RETRY_AFTERS,
)
BARRIERS = st.builds(
    Wave,
    when_in_flight=st.integers(1, 5),
    patience=milliseconds(0, 1500),
    times=st.integers(1, 3),
    share=SHARES,
    match=MATCHES,
)
LIMITS = st.builds(
    Limits,
    requests_per_minute=st.none() | st.integers(1, 300),
    tokens_per_minute=st.none() | st.integers(5, 3000),
    burst=milliseconds(0, 3000),
    concurrent=st.none() | st.integers(1, 6),
    penalty=st.none() | milliseconds(1, 2000),
    input_tokens_per_minute=st.none() | st.integers(1, 300),
    output_tokens_per_minute=st.none() | st.integers(1, 2000),
    requests_per_day=st.none() | st.integers(1, 30),
    tokens_per_day=st.none() | st.integers(5, 300),
    day=st.sampled_from(["calendar", "rolling"]),
    ramp=st.none() | st.builds(Ramp, requests=st.integers(1, 5), window=milliseconds(1, 5000)),
    requests=st.none() | st.integers(1, 9),
    tokens=st.none() | st.integers(5, 300),
    per=milliseconds(1, 5000),
    window=st.sampled_from(["bucket", "calendar", "sliding"]),
    count_refused=st.booleans(),
    match=MATCHES,
    scope=st.sampled_from(["account", "item"]),
)
DELAYED_OR_LASTING = st.builds(
    Fault,
    kind=st.sampled_from(
        ["stall", "slow-trickle", "stall-before-headers", "reset", "no-answer", "connection-refused"]
    ),
    at=milliseconds(0, 2000),
    lasts=milliseconds(1, 5000),
    after_chunks=st.integers(0, 12),
    share=st.sampled_from([1.0, 0.5]),
)
FAULTS = DELAYED_OR_LASTING | st.builds(
    Fault,
    kind=st.sampled_from(["reset", "no-answer", "connection-refused"]),
    at=milliseconds(0, 2000),
    times=st.integers(1, 3),
)
LATENCIES = st.builds(
    Latency, first_token=RANGES, tokens_per_second=st.sampled_from([None, 3, 60]), refusal=RANGES
)
SCENARIOS = st.builds(
    Scenario,
    latency=LATENCIES,
    limits=LIMITS,
    limit=st.lists(LIMITS, max_size=2).map(tuple),
    wave=st.lists(WINDOWS | BARRIERS, max_size=4).map(tuple),
    fault=st.lists(FAULTS, max_size=2).map(tuple),
)
# Among many rules a request is seldom held for long: half of the scenarios have barriers and little else.
SCENARIOS |= st.builds(
    Scenario, latency=LATENCIES, wave=st.lists(BARRIERS, min_size=1, max_size=2).map(tuple)
)
STEPS = st.lists(
    st.builds(
        Step,
        gap=st.integers(0, 600).map(lambda ms: ms * MILLISECOND),
        what=st.sampled_from(["arrive", "arrive", "arrive", "leave", "settle", "late"]),
        about=st.integers(0, 9),
        stream=st.booleans(),
    ),
    min_size=6,
    max_size=40,
)


def request(number: int, item: str, *, stream: bool = False) -> Request:
    """A request of an item."""
    fields: dict[str, Any] = {"model": "gpt-5", "secret": "sk-one", "key": "key-1", "declared": True}
    return Request(id=number, item=item, prompt="hello", prompt_tokens=2, stream=stream, **fields)


def run(scenario: Scenario, steps: list[Step], seed: int = 0) -> Course:
    """Let clients do their steps and then everything come to its end.

    After a `late` step the provider is not advanced before the next one: its caller was slow.
    """
    course = Course(Provider(scenario, seed=seed))
    now, late = 0, False
    for step in steps:
        now += step.gap
        if not late:
            course.advance(now)
        late = step.what == "late"
        act(course, step, now)
    while (due := course.provider.next_due()) is not None:
        course.take(max(due, now))
    return course


def act(course: Course, step: Step, now: int) -> None:
    """One step of a client."""
    if step.what == "arrive":
        number = len(course.arrived) + 1
        course.arrived[number] = request(number, f"item-{step.about % 4}", stream=step.stream)
        course.provider.arrive(course.arrived[number], now)
    elif step.what == "leave" and course.arrived:
        number = len(course.arrived) - step.about % len(course.arrived)
        if number not in course.finished():
            course.left.add(number)
        course.provider.leave(number, now)
    elif step.what == "settle":
        course.provider.settle(now, None)


@settings(max_examples=n_of(100, 2000))
@given(SCENARIOS, STEPS)
def test_every_course_comes_to_a_whole_end(scenario: Scenario, steps: list[Step]) -> None:
    """Whatever clients do, what came out of the run is whole and right, and nothing of it is left."""
    course = run(scenario, steps)
    every_request_got_one_whole_outcome(course)
    nothing_is_in_flight(course)
    nothing_is_reserved(course.provider)
    answers_are_the_items_own(course)
    what_is_due_next_is_what_comes(course.provider)
    waves_open_and_close_in_turn(scenario)


def every_request_got_one_whole_outcome(course: Course) -> None:
    """A client that stays gets every part of one outcome, once, in order; one that leaves gets the first."""
    for number, asked in course.arrived.items():
        parts = [reply for reply in course.replies if reply.request_id == number]
        assert [part.index for part in parts] == list(range(len(parts)))
        assert all(part.outcome is parts[0].outcome and part.count == parts[0].count for part in parts)
        if number in course.left:
            assert not parts or not parts[-1].last
            continue
        if number in course.silent():
            assert not parts
            continue
        assert parts
        assert parts[-1].last
        streamed = asked.stream and isinstance(parts[0].outcome, Success) and not parts[0].outcome.unreachable
        assert len(parts) == (10 if streamed else 1)


def nothing_is_in_flight(course: Course) -> None:
    """What arrived has left or finished, or is never answered; none is held, nothing is due."""
    provider = course.provider
    silent = course.silent()
    assert (provider.in_flight, provider.holding, provider.next_due()) == (len(silent), 0, None)
    assert provider.peak_in_flight <= len(course.arrived)
    assert course.finished() | course.left | silent == set(course.arrived)


def nothing_is_reserved(provider: Provider) -> None:
    """Caps count no request at the end, and no budget is above its size."""
    for table in provider._limiter._tables:
        assert not table._in_flight
        for scope in table._budgets:
            for _, state in table.states(scope, 10 * MINUTE):
                assert 0 <= state.remaining <= state.limit


def answers_are_the_items_own(course: Course) -> None:
    """No request gets another's mark, and no refusal asks for less than nothing."""
    for reply in course.replies:
        outcome = reply.outcome
        if isinstance(outcome, Success) and outcome.unreachable:
            assert outcome.content.pieces == ()
        elif isinstance(outcome, Success):
            assert outcome.content.pieces[0] == f"[wt:{course.arrived[reply.request_id].item}]"
        else:
            assert outcome.retry_after is None or outcome.retry_after.value >= 0


def what_is_due_next_is_what_comes(provider: Provider) -> None:
    """`next_notice` names the instant of what comes next."""
    for _ in range(20):
        due = provider.next_notice()
        if due is None:
            break
        notices = provider.notices(due)
        assert {notice.at for notice in notices} == {due}


def waves_open_and_close_in_turn(scenario: Scenario) -> None:
    """Each wave opens and closes in turn."""
    open_waves: set[int] = set()
    for notice in waves_and_held(Provider(scenario), 10 * SECOND):
        assert (notice.wave in open_waves) == (notice.kind == "wave-closed")
        open_waves ^= {notice.wave}


@given(SCENARIOS, STEPS, st.integers(0, 3))
def test_the_same_inputs_give_the_same_replies(scenario: Scenario, steps: list[Step], seed: int) -> None:
    """A second run repeats the first to the nanosecond; nothing is sent before what is already out."""
    one, other = run(scenario, steps, seed), run(scenario, steps, seed)
    assert one.replies == other.replies
    assert one.notices == other.notices
    if not any(step.what == "late" for step in steps):
        assert [reply.at for reply in one.replies] == sorted(reply.at for reply in one.replies)
        assert [notice.at for notice in one.notices] == sorted(notice.at for notice in one.notices)


@given(
    st.builds(Scenario, latency=LATENCIES, wave=st.lists(WINDOWS, max_size=3).map(tuple)), STEPS, st.data()
)
def test_a_strangers_request_shifts_no_items_fate(scenario: Scenario, steps: list[Step], data: Any) -> None:
    """Where items do not share a budget, one request more of another item changes nothing for the rest."""
    instants: list[int] = []
    now = 0
    for step in steps:
        now += step.gap
        instants.append(now)
    arrivals = [(at, f"item-{step.about}") for at, step in zip(instants, steps, strict=True)]
    place = data.draw(st.integers(0, len(arrivals)))
    stranger = (arrivals[place - 1][0] if place else 0, "stranger")
    alone, among = (
        fates(scenario, arrivals),
        fates(scenario, [*arrivals[:place], stranger, *arrivals[place:]]),
    )
    among.pop("stranger")
    assert among == alone


def fates(scenario: Scenario, arrivals: list[tuple[int, str]]) -> dict[str, list[tuple[int, object]]]:
    """What each item got and when, whatever the numbers of its requests."""
    provider, items = Provider(scenario), dict[int, str]()
    replies: list[Reply] = []
    for number, (at, item) in enumerate(arrivals, start=1):
        items[number] = item
        provider.arrive(request(number, item), at)
    while (due := provider.next_due()) is not None:
        replies += provider.advance(due)
    found: dict[str, list[tuple[int, object]]] = {}
    for reply in sorted(replies, key=lambda reply: reply.request_id):
        found.setdefault(items[reply.request_id], []).append((reply.at, reply.outcome))
    return found
