"""Did the program reach the fake, or was it refused at hosts that nothing answers for?"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from fnmatch import fnmatchcase
from typing import Final

from ..clock import format_duration
from ..events import Event, EventLog
from ..shown import shortened
from ..text import counted
from .causes import place
from .verdict import Verdict

NAME: Final = "hosts"
EXPECTATION: Final = "unknown_hosts"
ASKED: Final = "asked"
"""What the header of a log expects of a test that did not ask for the fake: 0, it need not be reached."""

_LISTED: Final = 10


def judge(log: EventLog) -> Verdict:
    """Fails when a request for an LLM went to a host that the fake does not answer for.

    It is one if a dialect has its path, or if hosts were refused and no request at all reached the fake,
    unless the test did not ask for the fake. Other refused hosts, such as those of telemetry, are only
    listed, and those that were declared are left out. It also fails when an application that answers
    for a host raised an error, and when a program asked only for paths that the fake does not have.
    """
    failed = log.of("app-failed")
    if failed:
        return _app_failed(failed)
    missing = unserved(log)
    if missing and not log.of("arrived"):
        return _unserved(missing)
    by_host = unexpected(log)
    if not by_host:
        return Verdict(NAME, None, "no host was refused")
    for_llm = {host: events for host, events in by_host.items() if any(event.dialect for event in events)}
    if log.of("arrived"):
        if not for_llm:
            return Verdict(NAME, True, f"hosts without an LLM were refused: {_listed(by_host)}")
        summary = (
            f"requests for an LLM were refused at {_listed(for_llm)}, which the fake does not answer for"
        )
        return Verdict(NAME, False, summary, (*_evidence(for_llm), *_fix(for_llm)))
    if not for_llm and not log.header.expects.get(ASKED, 1):
        return Verdict(NAME, None, f"hosts without an LLM were refused: {_listed(by_host)}")
    summary = f"no request reached the fake; refused: {_listed(by_host)}, which the fake does not answer for"
    return Verdict(NAME, False, summary, (*_evidence(by_host), *_fix(for_llm or by_host)))


def unserved(log: EventLog) -> list[Event]:
    """The requests for paths that the fake does not have, at hosts that it answers for."""
    return [
        event
        for event in log.of("unknown-host")
        if event.host is not None and event.dialect is None and event.target is not None
        if not is_declared(event.host, log.header.unknown_hosts)
    ]


def unexpected(log: EventLog) -> dict[str, list[Event]]:
    """What was refused at which host, but for the hosts that were declared."""
    found: dict[str, list[Event]] = {}
    for event in log.of("unknown-host"):
        if event.host is None or (event.target is not None and event.dialect is None):
            continue
        if not is_declared(event.host, log.header.unknown_hosts):
            found.setdefault(event.host, []).append(event)
    return found


def is_declared(host: str, patterns: Iterable[str]) -> bool:
    """Whether one of the patterns is for a host; one without a port is for any."""
    name = host.lower()
    bare = name.rpartition(":")[0] or name
    return any(fnmatchcase(name, pattern) or fnmatchcase(bare, pattern) for pattern in patterns)


def _app_failed(failed: list[Event]) -> Verdict:
    first = failed[0]
    summary = f"the app for {first.host} raised {first.error_type}: {shortened(first.error or '', 500)}"
    lines = (
        f"at {format_duration(event.at)}: {event.target} raised {event.error_type}"
        f"{place(event.file, event.line)}"
        for event in failed[:_LISTED]
    )
    return Verdict(NAME, False, summary, (*lines,))


def _unserved(missing: list[Event]) -> Verdict:
    by_path = {(event.host, event.target): event for event in reversed(missing)}
    first = missing[0]
    paths = ", ".join(shortened(target or "") for _, target in [*reversed(by_path)][:_LISTED])
    lines = [
        f"{shortened(event.host or '')}: {event.target}, at {format_duration(event.at)}{_who(event)}"
        for event in [*reversed(by_path.values())][:_LISTED]
    ]
    path = (first.target or "").partition(" ")[2]
    where = f"{first.host}{path}"
    return Verdict(
        NAME,
        False,
        f"wavetank doesn't serve {paths}",
        (
            *lines,
            f'to have it answered: fake_llm.add_host("{where}", app=...), or check the base_url',
            _may_be_refused(shortened(first.host or "")),
        ),
    )


def _who(event: Event) -> str:
    by = f" by {event.task!r}" if event.task else ""
    return f"{by}{place(event.file, event.line)}"


def _evidence(by_host: dict[str, list[Event]]) -> Iterator[str]:
    for host, events in [*by_host.items()][:_LISTED]:
        first = next((event for event in events if event.dialect), events[0])
        what = counted(len(events), "request") if first.target is None else f"{first.target}"
        again = f", and {len(events) - 1} more" if first.target is not None and len(events) > 1 else ""
        yield f"{shortened(host)}: {what}{again}, at {format_duration(first.at)}{_who(first)}"


def _fix(by_host: dict[str, list[Event]]) -> Iterator[str]:
    host, events = next(iter(by_host.items()))
    dialect = next((event.dialect for event in events if event.dialect), None)
    name = shortened(host)
    as_llm = f"llm_hosts = {name}={dialect or 'openai'} in the ini file"
    if dialect is not None:
        yield f'to have it answered: {as_llm}, or fake_llm.add_host("{name}", dialect="{dialect}")'
    else:
        yield f'to have it answered: fake_llm.add_host("{name}", app=...), or if it is an LLM {as_llm}'
    yield _may_be_refused(name)


def _may_be_refused(name: str) -> str:
    return (
        f'if it may be refused: tank.expect(unknown_hosts=["{name}"]), '
        f'@pytest.mark.llm_expect(unknown_hosts=["{name}"]), or llm_ignored_hosts = {name} in the ini file'
    )


def _listed(hosts: Iterable[str]) -> str:
    names = [shortened(host) for host in hosts]
    return ", ".join(names[:_LISTED]) + (", …" if len(names) > _LISTED else "")
