"""The requests of all files together, in the order of time and counted from one start."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, final

from msgspec.structs import replace

from .exchange import Exchange, IncidentError
from .sources import found_in, kind_of
from .values import Instant

MOST: Final = 500_000
"""Requests that are kept, each some 250 bytes: 125 MB in all."""


@final
@dataclass(frozen=True, slots=True)
class ReadFile:
    """What one file had: its kind in words, its requests, and entries that are no requests to an LLM."""

    name: str
    kind: str
    requests: int
    passed_over: int


@final
@dataclass(frozen=True, slots=True)
class Collected:
    """All requests by time; `start` is the Unix time of the instant 0, `None` for logs without dates."""

    exchanges: list[Exchange]
    files: tuple[ReadFile, ...]
    start: int | None


def collect(
    paths: Sequence[Path], *, since: Instant | None = None, until: Instant | None = None
) -> Collected:
    """Read files and merge what they have by time.

    Times that are dates are counted from the first request; others stay as they are.

    Args:
        paths: the files, of any kinds.
        since: requests before it are left out.
        until: requests from it on are left out.

    Raises:
        IncidentError: a file cannot be used, there is no request or there are too many, or times that are
            dates meet times that are none.
    """
    kept: list[Exchange] = []
    files: list[ReadFile] = []
    dated: dict[bool, Path] = {}
    for path in paths:
        kind, before, passed_over = kind_of(path), len(kept), 0
        for found in found_in(path, kind):
            if found.exchange is None:
                passed_over += 1
                continue
            dated.setdefault(found.is_date, path)
            if len(dated) > 1:
                raise _mixed(dated)
            if _is_in(found.exchange.at, since, until):
                kept.append(found.exchange)
            if len(kept) > MOST:
                raise _too_many(path)
        files.append(ReadFile(path.name, kind, len(kept) - before, passed_over))
    for limit in (since, until):
        if dated and limit is not None and limit.is_date not in dated:
            raise _wrong_limit(next(iter(dated)))
    if not kept:
        raise _nothing(files)
    kept.sort(key=lambda each: each.at)
    start = kept[0].at if True in dated else None
    if start is not None:
        kept = [replace(each, at=each.at - start) for each in kept]
    return Collected(kept, tuple(files), start)


def _is_in(at: int, since: Instant | None, until: Instant | None) -> bool:
    return (since is None or at >= since.ns) and (until is None or at < until.ns)


def _mixed(dated: dict[bool, Path]) -> IncidentError:
    if dated[True] == dated[False]:
        return IncidentError(
            f"{dated[True]}: some of its times are dates, and others are counted from the start of a run; "
            "write all of them in one form"
        )
    return IncidentError(
        f"{dated[True]} has dates and {dated[False]} counts time from the start of a run, so they cannot be "
        "merged; learn from each by itself"
    )


def _too_many(path: Path) -> IncidentError:
    return IncidentError(
        f"{path}: more than {MOST:,} requests; say which part of the time is meant, with --from and --until"
    )


def _wrong_limit(are_dates: bool) -> IncidentError:
    form = "a date such as 2026-11-30T08:00:00Z" if are_dates else "a time from the start such as 90s"
    return IncidentError(f"--from and --until do not fit the times in the files; write {form}")


def _nothing(files: Sequence[ReadFile]) -> IncidentError:
    others = sum(each.passed_over for each in files)
    seen = f"; {others} other entries are no requests to an LLM" if others else ""
    return IncidentError(
        f"{', '.join(each.name for each in files)}: no request in there{seen}. "
        "Give a log with requests in it, or widen --from and --until"
    )
