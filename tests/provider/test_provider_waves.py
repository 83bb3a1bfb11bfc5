"""Waves that limit one by one, and what refusals say and come in."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest

from wavetank.clock import MILLISECOND, SECOND, Duration
from wavetank.provider.model import Refusal
from wavetank.provider.provider import Provider
from wavetank.provider.request import Request
from wavetank.scenario import Match, RefusalError, RetryAfter, Scenario, ScopeKind, Wave, lets_through

ITEMS = [f"item-{number}" for number in range(40)]
STEP = 200 * MILLISECOND


def wave(**fields: Any) -> Wave:
    """Twenty seconds from the first on, in which items are limited and released within six each."""
    default: dict[str, Any] = {
        "at": Duration(SECOND),
        "lasts": Duration(20 * SECOND),
        "stagger": Duration(6 * SECOND),
        "scope": "item",
    }
    return Wave(**default | fields)


def ask(number: int, item: str, **fields: Any) -> Request:
    """A request of an item."""
    default: dict[str, Any] = {
        "id": number,
        "model": "gpt-5",
        "secret": "sk-one",
        "key": "key-1",
        "item": item,
        "declared": True,
        "prompt": "hello",
        "prompt_tokens": 2,
    }
    return Request(**default | fields)


def refusals(provider: Provider, items: Iterable[str], until: int) -> dict[str, list[tuple[int, Refusal]]]:
    """Each item's refusals, asked for at every step, with the instant of each request."""
    found: dict[str, list[tuple[int, Refusal]]] = {}
    sent: dict[int, tuple[str, int]] = {}
    for at in range(0, until, STEP):
        for item in items:
            sent[len(sent)] = item, at
            provider.arrive(ask(len(sent) - 1, item), at)
        for reply in provider.advance(at + STEP - 1):
            if isinstance(reply.outcome, Refusal):
                who, when = sent[reply.request_id]
                found.setdefault(who, []).append((when, reply.outcome))
    return found


def stretches(seed: int = 0, **fields: Any) -> dict[str, tuple[int, int]]:
    """The first and the last refused instant of each limited item."""
    provider = Provider(Scenario(wave=(wave(**fields),)), seed=seed)
    found = refusals(provider, ITEMS, 23 * SECOND)
    for refused in found.values():
        instants = [at for at, _ in refused]
        assert instants == list(range(instants[0], instants[-1] + STEP, STEP)), "a stretch has no gaps"
    return {item: (refused[0][0], refused[-1][0]) for item, refused in found.items()}


def test_a_random_subset_is_limited_one_by_one_and_released_in_another_order() -> None:
    """Each has one stretch; they begin and end at different instants, inside the wave, in two orders."""
    found = stretches(share=0.5)
    assert 10 <= len(found) <= 30
    opened, closed = (
        [item for item, _ in sorted(found.items(), key=lambda each: each[1][n])] for n in (0, 1)
    )
    assert opened != closed
    assert len({first for first, _ in found.values()}) > len(found) // 2
    assert all(SECOND <= first <= 7 * SECOND + STEP for first, _ in found.values())
    assert all(15 * SECOND - STEP <= last < 21 * SECOND for _, last in found.values())


def test_a_staggered_wave_depends_on_the_seed_and_the_item_alone() -> None:
    """The same seed gives the same stretches, another seed others, and fewer requests change nothing."""
    first = stretches()
    assert stretches() == first
    assert stretches(seed=1) != first
    alone = refusals(Provider(Scenario(wave=(wave(),))), ITEMS[:1], 23 * SECOND)
    assert alone[ITEMS[0]][0][0] == first[ITEMS[0]][0]


def test_a_chooser_does_not_move_a_stretch() -> None:
    """What must hold for many requests is the seed's alone."""

    def choose(purpose: str, item: str | None, options: Any, _: int | None = None, /) -> int:
        raise AssertionError(f"asked for {purpose} of {item} from {options}")

    provider = Provider(Scenario(wave=(wave(share=0.5),)), choose=choose)
    provider.arrive(ask(1, "a"), 10 * SECOND)


def test_a_refusal_states_the_rest_of_the_items_own_stretch() -> None:
    """A client that waits for the Retry-After is served."""
    provider = Provider(Scenario(wave=(wave(retry_after=RetryAfter(form="ms")),)))
    provider.arrive(ask(1, "a"), 10 * SECOND)
    due = provider.next_due()
    assert due is not None
    (reply,) = provider.advance(due)
    assert isinstance(reply.outcome, Refusal)
    assert reply.outcome.retry_after is not None
    back = reply.at + reply.outcome.retry_after.value
    assert 15 * SECOND <= back <= 21 * SECOND
    provider.arrive(ask(2, "a"), back)
    (again,) = provider.advance(back)
    assert not isinstance(again.outcome, Refusal)


@pytest.mark.parametrize(("scope", "stated"), [("key", "key:key-1"), ("model", "model:gpt-5")])
def test_keys_and_models_can_be_limited_one_by_one(scope: ScopeKind, stated: str) -> None:
    """All items of a key share its stretch."""
    provider = Provider(Scenario(wave=(wave(scope=scope),)))
    found = refusals(provider, ITEMS[:3], 23 * SECOND)
    assert {tuple(at for at, _ in refused) for refused in found.values()} == {
        tuple(at for at, _ in found[ITEMS[0]])
    }
    assert {refusal.scope for refused in found.values() for _, refusal in refused} == {stated}


def test_each_occurrence_has_stretches_of_its_own() -> None:
    """A wave that comes again picks again."""
    provider = Provider(Scenario(wave=(wave(every=Duration(30 * SECOND), times=2, share=0.5),)))
    found = refusals(provider, ITEMS, 53 * SECOND)
    first, second = (
        {item for item, seen in found.items() if any(t // (30 * SECOND) == n for t, _ in seen)}
        for n in (0, 1)
    )
    assert first != second


def test_a_staggered_wave_leaves_out_what_it_does_not_match() -> None:
    """The match comes first."""
    provider = Provider(Scenario(wave=(wave(match=Match(item="item-1*")),)))
    assert set(refusals(provider, ITEMS, 23 * SECOND)) == {i for i in ITEMS if i.startswith("item-1")}


def test_an_endless_staggered_wave_still_lets_through() -> None:
    """Everybody's own stretch ends before the next begins."""
    without_gap = wave(at=Duration(0), every=Duration(20 * SECOND))
    assert lets_through(Scenario(wave=(without_gap,)))


@pytest.mark.parametrize(
    ("error", "seconds"),
    [
        ("rate-limit", 9),
        ("quota", 9),
        ("ramp", 9),
        ("too-large", None),
        ("billing", None),
        ("throttle", None),
    ],
)
def test_a_refusal_says_what_is_wrong_and_when_to_come_back(error: RefusalError, seconds: int | None) -> None:
    """What no waiting helps, and what tells no limits, states no time unless it is written."""
    plain = Wave(lasts=Duration(10 * SECOND), error=error, should_retry=True, wrapping="text")
    provider = Provider(Scenario(wave=(plain,)))
    provider.arrive(ask(1, "a"), SECOND)
    (reply,) = provider.advance(2 * SECOND)
    assert isinstance(reply.outcome, Refusal)
    stated = reply.outcome.retry_after
    assert (reply.outcome.error, reply.outcome.wrapping, reply.outcome.should_retry) == (error, "text", True)
    assert (stated.value // SECOND if stated is not None else None) == seconds
