"""Is each item brought to one outcome, and paid for once?"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from typing import Final

from ..clock import format_duration
from ..events import ENDED, Event, EventKind, EventLog
from ..fault_kinds import DELAYS
from .history import history, unmatched
from .verdict import Verdict

NAME = "exactly_once"
_OUTCOMES: Final[tuple[EventKind, ...]] = ("completed", "failed", "cancelled")
_SHOWN = 1
_LISTED = 10
_NAMED = 12


def judge(log: EventLog) -> Verdict:
    """Fails when an item is lost, reported twice, made up, or paid more often than declared.

    Paid is judged for declared items of the ledger only. A line of a batch is paid when it has its answer,
    whether or not that is fetched. An answer that came after its
    client had hung up is wasted, and one whose task was cancelled before it could report the item is
    unreported: both are listed, and counted only when `paid_per_item` is declared.
    In a program that was interrupted no item is lost, unless it ran again. Then an equal completion counts
    once, failures and cancellations of before are over, and an item that was open may be paid once more if
    its request was under way, or its answer had only just come.
    """
    submitted = _items(log, "submitted")
    outcomes = _outcomes(log)
    if not submitted and not outcomes:
        return Verdict(NAME, None, "nothing was entered in the ledger")
    faults = [
        *_lost(log, submitted, outcomes),
        *((item, f"was reported {count} times") for item, count in outcomes.items() if count > 1),
        *_made_up(log, submitted),
        *_overpaid(log, dict.fromkeys([*submitted, *outcomes])),
    ]
    if log.end is not None and log.end.how not in ENDED:
        return Verdict(
            NAME, None, f"the run was stopped: {len(faults)} finding(s) so far", _evidence(log, faults)
        )
    if faults:
        item, what = faults[0]
        more = f", and {len(faults) - 1} more finding(s)" if len(faults) > 1 else ""
        return Verdict(NAME, False, f"item {item!r} {what}{more}", _evidence(log, faults))
    still_open = len(dict.fromkeys(submitted)) - len(outcomes)
    if still_open > 0:
        how = "was interrupted" if _is_cut_short(log) else "raised"
        return Verdict(NAME, None, f"main {how} before {still_open} item(s) came to an outcome")
    note, wasted = _with_wasted(log)
    return Verdict(NAME, True, f"{len(outcomes)} item(s), each with one outcome{note}", wasted)


def judge_items(log: EventLog, items: Iterable[str]) -> Verdict:
    """Fails unless exactly these items got a delivered answer, once each; needs no ledger."""
    wanted = dict.fromkeys(items)
    free = _free(log)
    delivered = [event for event in log.of("delivered") if paid_for(event) and event.request not in free]
    paid = Counter(event.item for event in _payments(log))
    reached = {event.item for event in delivered}
    faults = [(item, "got no answer") for item in wanted if item not in reached]
    faults += [(item, f"was answered {paid[item]} times") for item in wanted if paid[item] > 1]
    faults += [(item, "was answered, but not asked for") for item in paid if item and item not in wanted]
    if faults:
        item, what = faults[0]
        return Verdict(NAME, False, f"item {item!r} {what}", _evidence(log, faults))
    return Verdict(NAME, True, f"{len(wanted)} item(s), each answered once")


def paid_for(event: Event) -> bool:
    """Whether a reply was a success: an answer that a fault spoiled is none."""
    return event.status == 200 and event.fault is None


def _outcomes(log: EventLog) -> Counter[str]:
    """How many outcomes each item has; of a program that ran again, as `judge` says."""
    before, after = Counter[str](), Counter[str]()
    kept: dict[str, str | None] = {}
    for event in log.of(*_OUTCOMES, "restarted"):
        if event.kind == "restarted":
            before, after = after, before
            kept = {
                each.item: each.value for each in log.of("completed") if each.item and each.at <= event.at
            }
        elif event.item is not None:
            equal = event.kind == "completed" and event.item in kept and kept[event.item] == event.value
            after[event.item] += 0 if equal and before[event.item] else 1
    over = [item for item in before if item not in kept and after[item]]
    return after + Counter({item: count for item, count in before.items() if item not in over})


def _is_cut_short(log: EventLog) -> bool:
    """Whether the program was interrupted and did not run again."""
    return bool(log.of("interrupted")) and not log.of("restarted")


def _once_more(log: EventLog) -> set[str]:
    """The items that a program which was interrupted may pay once more, if it ran again.

    When it ran again they had no outcome, and no answer that the program could have kept: a request was
    under way, or its answer had only just come. What it called off while it ended may be done again.
    """
    sessions = log.of("interrupted", "restarted")
    if [event.kind for event in sessions[:2]] != ["interrupted", "restarted"]:
        return set()
    events = list(log)
    cut, again = (events.index(event) for event in sessions[:2])
    before = events[:again]
    done = {event.item for event in events[:cut] if event.kind in _OUTCOMES}
    done |= {event.item for event in events[cut:again] if event.kind == "completed"}
    paid = {event.request for event in _payments(log) if event.kind == "delivered"}
    over = {event.request for event in before if event.kind in ("delivered", "left")}
    in_hand = {event.request for event in log.of("unreported")}
    kept = {event.item for event in before if event.request in paid & over - in_hand}
    under_way = {event.item for event in before if event.kind == "arrived" and event.request not in over}
    just_come = {event.item for event in before if event.request in over & in_hand}
    return {*_items(log, "submitted")}.difference(done, kept - under_way - just_come)


def _items(log: EventLog, *kinds: EventKind) -> list[str]:
    return [event.item for event in log.of(*kinds) if event.item is not None]


def _lost(log: EventLog, submitted: list[str], outcomes: Counter[str]) -> Iterable[tuple[str, str]]:
    if (log.end is not None and log.end.how == "raised") or _is_cut_short(log):
        return
    for item in dict.fromkeys(submitted):
        if not outcomes[item]:
            yield item, "was lost: it was submitted and never came to an outcome"


def _made_up(log: EventLog, submitted: list[str]) -> Iterable[tuple[str, str]]:
    known = {*submitted, *_items(log, "arrived")}
    for item in dict.fromkeys(_items(log, "completed")):
        if item not in known:
            yield item, "was completed, but neither submitted nor requested"


def _overpaid(log: EventLog, ledger: dict[str, None]) -> Iterable[tuple[str, str]]:
    declared = log.header.expects.get("paid_per_item")
    allowed = 1 if declared is None else declared
    answers = _payments(log)
    if declared is not None:
        answers += _wasted(log)
    unreported = Counter(event.item for event in log.of("unreported")) if declared is None else Counter()
    once_more = _once_more(log)
    named = {event.request for event in log.of("arrived") if event.declared}
    paid = Counter(event.item for event in answers if event.request in named and event.item in ledger)
    for item, count in paid.items():
        if item is not None and count > allowed + max(unreported[item], item in once_more):
            yield item, f"was paid {count} times (declared: {allowed})"


def _payments(log: EventLog) -> list[Event]:
    """The answers that are paid: that of a line of a batch at once, of another request when it is delivered.

    So nothing is saved by fetching no results. What reads or changes a file or a batch costs nothing, and
    neither does a count of tokens.
    """
    free = _free(log)
    alone = [event for event in log.of("delivered") if event.batch is None and event.request not in free]
    lines = [event for event in log.of("answered") if event.batch is not None]
    return [event for event in (*alone, *lines) if paid_for(event)]


def _free(log: EventLog) -> set[int | None]:
    return {event.request for event in log.of("arrived") if event.target is not None}


def _wasted(log: EventLog) -> list[Event]:
    """The answers, sent or under way, whose clients hung up; a spoiled answer is none, nor one of a batch."""
    reached = {event.request for event in log.of("delivered")} | _free(log)
    spent = {
        event.request: event
        for event in log.of("answered", "left")
        if event.status == 200
        and not _spoiled(event)
        and event.request not in reached
        and event.batch is None
    }
    spoiled = {event.request for event in log.of("answered", "left") if _spoiled(event)}
    return [event for number, event in spent.items() if number not in spoiled]


def _spoiled(event: Event) -> bool:
    return event.fault is not None and event.reason not in DELAYS and not event.late


def _with_wasted(log: EventLog) -> tuple[str, tuple[str, ...]]:
    wasted = _wasted(log)
    lines = [
        f"at {format_duration(event.at)}: "
        f"the answer to request {event.request} (item {event.item!r}) was wasted"
        for event in wasted[:_LISTED]
    ]
    if len(wasted) > _LISTED:
        lines.append(f"and {len(wasted) - _LISTED} more")
    note = f"; {len(wasted)} answer(s) wasted on clients that had hung up" if wasted else ""
    return note, tuple(lines)


def _asked_for(log: EventLog, item: str) -> bool:
    """Whether a request of the item arrived; also when that cannot be known, for want of a common name."""
    return unmatched(log) is not None or any(event.item == item for event in log.of("arrived"))


def _evidence(log: EventLog, faults: list[tuple[str, str]]) -> tuple[str, ...]:
    if not faults:
        return ()
    lines: list[str] = []
    for item, what in faults[:_SHOWN]:
        lines.append(f"item {item!r} {what}")
        lines += (f"  {line}" for line in history(log, item))
        if "was lost" in what and not _asked_for(log, item):
            lines.append("  no request of this item ever arrived")
    kinds: dict[str, list[tuple[str, str]]] = {_kind(what): [] for _, what in faults[:_SHOWN]}
    for item, what in faults[_SHOWN:]:
        kinds.setdefault(_kind(what), []).append((item, what))
    first, *others = kinds.values()
    lines += [f"and {len(first)} more: {_names(first)}"] if first else []
    for (item, what), *more in others:
        lines.append(f"item {item!r} {what}" + (f"; and {len(more)} more: {_names(more)}" if more else ""))
    return tuple(lines)


def _kind(what: str) -> str:
    """What was found, without its numbers."""
    return re.sub(r"\d+", "", what)


def _names(faults: list[tuple[str, str]]) -> str:
    more = ", …" if len(faults) > _NAMED else ""
    return ", ".join(repr(item) for item, _ in faults[:_NAMED]) + more
