"""What happened to each item of a program that keeps no ledger, as its requests show it, and two verdicts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final, final

from ..checks.exchanges import Exchange, every_exchange
from ..checks.history import history
from ..checks.verdict import Verdict
from ..events import EventLog
from ..report.requests import requests
from ..text import counted, times

ANSWERED: Final = "every_item_answered"
PAID_ONCE: Final = "paid_once"

_FINAL: Final = (400, 401, 402, 403, 404, 413, 422)
"""Statuses of refusals that say no to this very request for good: to give the item up is right."""

_LISTED: Final = 10
_NAME_THEM: Final = (
    "name the item of a request by --item-from REGEX, the header x-wavetank-item or metadata.item of the body"
)


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class ItemHistory:
    """One item: how many requests were sent for it, and what became of them.

    `named` says whether the program named the item: else it is known by its prompt. `statuses` are those of
    the refusals, each once. `spoiled` answers had a fault, `given_up` requests were left by the client,
    `open` ones had no reply when the run ended. `paid_again` answers were to a question that the item had a
    whole answer to.
    """

    item: str
    named: bool
    requests: int
    answered: int
    refused: int
    spoiled: int
    given_up: int
    open: int
    statuses: tuple[int, ...]
    refused_for_good: bool
    paid_again: int

    @property
    def lost(self) -> bool:
        """Whether it has no answer, and could have had one."""
        return not self.answered and not self.refused_for_good

    def __str__(self) -> str:
        with_what = f" ({', '.join(map(str, self.statuses))})" if self.statuses else ""
        parts = [f"refused {times(self.refused)}{with_what}"] if self.refused else []
        parts += [f"given a spoiled answer {times(self.spoiled)}"] if self.spoiled else []
        parts += [f"given up {times(self.given_up)}"] if self.given_up else []
        parts += ["still under way at the end"] if self.open else []
        if not self.answered:
            parts.append("refused for good" if self.refused_for_good else "never answered")
        elif self.paid_again:
            parts.append(f"answered {times(self.paid_again + 1)} to the same question")
        else:
            parts.append("answered")
        return f"{self.item!r}: {', '.join(parts)}"


def items_of(log: EventLog, asked_before: Mapping[int, int]) -> list[ItemHistory]:
    """The items of a run, in the order of their first requests; requests without an item are left out."""
    by_item: dict[str, list[Exchange]] = {}
    for one in every_exchange(log):
        if one.arrived.item is not None:
            by_item.setdefault(one.arrived.item, []).append(one)
    outcomes = {each.number: str(each.outcome) for each in requests(log)}
    return [_history(item, found, outcomes, asked_before) for item, found in by_item.items()]


def _history(
    item: str, found: list[Exchange], outcomes: Mapping[int, str], asked_before: Mapping[int, int]
) -> ItemHistory:
    became = {one.arrived.request or 0: _outcome(one, outcomes) for one in found}
    answered = [number for number, outcome in became.items() if outcome == "answered"]
    refusals = [one.refused for one in found if one.refused is not None]
    last = found[-1].refused
    counts = [*became.values()]
    return ItemHistory(
        item=item,
        named=any(one.arrived.declared for one in found),
        requests=len(found),
        answered=len(answered),
        refused=len(refusals),
        spoiled=counts.count("spoiled"),
        given_up=counts.count("left"),
        open=counts.count("open"),
        statuses=tuple(dict.fromkeys(each.status for each in refusals if each.status is not None)),
        refused_for_good=last is not None and (last.reason == "bad-request" or last.status in _FINAL),
        paid_again=len(answered) - len({asked_before.get(number, number) for number in answered}),
    )


def _outcome(one: Exchange, outcomes: Mapping[int, str]) -> str:
    """What became of a request; a stream that the client read as far as it wanted is an answer."""
    return "answered" if one.early else outcomes[one.arrived.request or 0]


def every_item_answered(log: EventLog, asked_before: Mapping[int, int]) -> Verdict:
    """Fails when the program came to its end and an item that could have had an answer has none.

    An item whose last request was refused for good is none of these, unless all are.
    """
    found = items_of(log, asked_before)
    if log.end is None or log.end.how != "returned":
        return Verdict(ANSWERED, None, "the program did not come to its end by itself")
    if not found:
        return Verdict(ANSWERED, None, "no request is about an item")
    lost = [each for each in found if each.lost]
    given_up = sum(not each.answered for each in found) - len(lost)
    if not lost and given_up < len(found):
        rest = f", {given_up} refused for good" if given_up else ""
        return Verdict(ANSWERED, True, f"{len(found) - given_up} item(s) answered{rest}")
    if not log.header.passable:
        return Verdict(ANSWERED, None, "the scenario never lets a request through")
    lost = lost or found
    first = lost[0]
    more = f", and {len(lost) - 1} more item(s)" if len(lost) > 1 else ""
    summary = f"item {first.item!r} never got an answer, after {counted(first.requests, 'request')}{more}"
    return Verdict(ANSWERED, False, summary, history(log, first.item))


def paid_once(log: EventLog, asked_before: Mapping[int, int], allowed: int = 1) -> Verdict:
    """Fails when more than `allowed` whole answers to the same question were given for an item.

    Items that the program does not name are not judged: two rows may have one prompt.
    """
    found = [each for each in items_of(log, asked_before) if each.answered]
    if not found:
        return Verdict(PAID_ONCE, None, "no item was answered")
    again = [each for each in found if each.paid_again >= allowed]
    named = [each for each in again if each.named]
    if named:
        first = named[0]
        more = f", and {len(named) - 1} more item(s)" if len(named) > 1 else ""
        summary = f"item {first.item!r} was paid {times(first.paid_again + 1)} for the same question{more}"
        return Verdict(PAID_ONCE, False, summary, history(log, first.item))
    if again:
        summary = (
            f"{counted(len(again), 'prompt')} got more than one answer, which may be rows that are alike"
        )
        return Verdict(PAID_ONCE, None, f"{summary}: {_NAME_THEM}")
    return Verdict(PAID_ONCE, True, f"{counted(len(found), 'item')} answered, none paid twice")


def item_lines(found: list[ItemHistory]) -> Iterator[str]:
    """How many items there are and what became of them; then those to look at, the worst first."""
    if not found:
        return
    answered = [each for each in found if each.answered]
    at_once = sum(each.requests == 1 for each in answered)
    for_good = sum(each.refused_for_good and not each.answered for each in found)
    counts = {
        "never answered": sum(each.lost for each in found),
        "refused for good": for_good,
        "with more than one answer to the same question": sum(bool(each.paid_again) for each in found),
    }
    parts = [f"{len(answered)} answered, {at_once} of them at the first request"]
    parts += [f"{count} {what}" for what, count in counts.items() if count]
    yield f"{counted(len(found), 'item')}: {', '.join(parts)}"
    bad = [each for each in found if not each.answered or each.paid_again]
    bad.sort(key=lambda each: (each.answered > 0, each.refused_for_good, -each.refused))
    yield from (f"  {each}" for each in bad[:_LISTED])
    if len(bad) > _LISTED:
        yield f"  and {len(bad) - _LISTED} more"
