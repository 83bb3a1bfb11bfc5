"""A campaign beside an earlier one, whose report was kept as JSON."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from .campaign_options import CampaignError
from .campaign_report import FORMAT, VERSION


class _Coverage(msgspec.Struct):
    taken: int
    options: int


class EarlierTest(msgspec.Struct):
    """What is compared of a test."""

    test: str
    result: str
    failed: bool
    schedules: int
    distinct: int
    choice_points: dict[str, _Coverage]


class EarlierReport(msgspec.Struct):
    """What is read of an earlier report."""

    format: str
    version: int
    wavetank: str = ""
    tests: list[EarlierTest] = []


def read_report(path: Path) -> EarlierReport:
    """An earlier report.

    Raises:
        CampaignError: the file cannot be read, or is no report of a campaign that this version reads.
    """
    fix = "give --compare a file that `wavetank explore --json FILE` has written"
    try:
        data = path.read_bytes()
        head = msgspec.json.decode(data, type=dict[str, Any])
        if (head.get("format"), head.get("version")) == (FORMAT, VERSION):
            return msgspec.json.decode(data, type=EarlierReport)
    except OSError as error:
        raise CampaignError(f"{path} cannot be read: {error.strerror}; {fix}") from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise CampaignError(f"{path} cannot be read: {error}; {fix}") from None
    if head.get("format") != FORMAT:
        raise CampaignError(f"{path} is no report of a campaign: {fix}")
    raise CampaignError(f"{path} has version {head.get('version')}; this wavetank reads {VERSION}")


def compared(earlier: EarlierReport, tests: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Each test now and then, as plain values: what is new fails first, and what is gone comes last."""
    then = {test.test: test for test in earlier.tests}
    rows = [_row(test, then.pop(test["test"], None)) for test in tests]
    gone = [{"test": test.test, "change": "gone", "was": test.result, "now": None} for test in then.values()]
    order = ("fails now", "new", "passes now", "still fails", "as before")
    return sorted(rows, key=lambda row: order.index(row["change"])) + gone


def _row(now: Mapping[str, Any], was: EarlierTest | None) -> dict[str, Any]:
    if was is None:
        return {"test": now["test"], "change": "new", "was": None, "now": now["result"]}
    changes = {
        (False, True): "fails now",
        (True, False): "passes now",
        (True, True): "still fails",
        (False, False): "as before",
    }
    points = now["choice_points"].values()
    return {
        "test": now["test"],
        "change": changes[was.failed, now["failed"]],
        "was": was.result,
        "now": now["result"],
        "schedules": now["schedules"] - was.schedules,
        "distinct": now["distinct"] - was.distinct,
        "alternatives": sum(at["taken"] for at in points)
        - sum(at.taken for at in was.choice_points.values()),
    }


def lines(rows: Sequence[Mapping[str, Any]], path: Path) -> Iterator[str]:
    """The comparison as text."""
    yield f"compared with {path}:"
    for row in rows:
        yield f"  {row['test']}: {row['change']}{_details(row)}"


def _details(row: Mapping[str, Any]) -> str:
    if "schedules" not in row:
        return f" ({row['was'] or row['now']})"
    found = f"{row['was']}, then {row['now']}; " if row["was"] != row["now"] else ""
    return (
        f" ({found}{row['schedules']:+} schedules, {row['distinct']:+} distinct, "
        f"{row['alternatives']:+} alternatives taken)"
    )
