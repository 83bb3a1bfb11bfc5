"""What is kept of a campaign: JUnit XML, and the comparison with an earlier report."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import jsonschema
import pytest

from wavetank.campaign.campaign_options import CampaignError
from wavetank.campaign.campaign_page import campaign_page
from wavetank.campaign.campaign_report import Totals, values
from wavetank.campaign.comparison import compared, lines, read_report
from wavetank.campaign.junit import junit
from wavetank.campaign.protocol import RangeMade, SearchEnd, SearchOverrides
from wavetank.campaign.state import SavedTest, SearchedTest
from wavetank.text import json_document

SCHEMA = json.loads((Path(__file__).parents[2] / "docs" / "campaign.schema.json").read_text("utf-8"))


def report(**ends: SearchEnd | int) -> dict[str, Any]:
    """A report of tests that have so many schedules, or that ended so after ten."""
    tests = []
    for name, end in ends.items():
        test = SearchedTest(f"tests/test_a.py::{name}", SavedTest(SearchOverrides()))
        many = end if isinstance(end, int) else 10
        points = {"run": dict.fromkeys(range(many), (2, "3"))}
        test.take(RangeMade(many, schedules=[*range(many)], points=points, scenario="calm", seconds=0.5))
        if isinstance(end, SearchEnd):
            test.take_end(end)
        tests.append(test)
    made = values(tests, [], Totals(20, 1.0, 2, "dask://a:1"), resume=None)
    jsonschema.validate(made, SCHEMA)
    return made


def test_junit_has_a_case_for_each_test() -> None:
    """A failing schedule is a failure, another one an error; what XML cannot hold is replaced."""
    document = junit(
        report(
            fine=10,
            found=SearchEnd("t", failure="it <fails> \x1b[1m\ud800", kind="deadlock", token="wt1-x"),
            broken=SearchEnd("t", broken="no disk"),
            out=0,
        )
    )
    (suite,) = ElementTree.fromstring(document)
    assert [suite.get(name) for name in ("tests", "failures", "errors", "skipped")] == ["4", "1", "1", "1"]
    fine, found, broken, out = suite
    assert (fine.get("classname"), fine.get("name"), fine.get("time")) == ("tests.test_a", "fine", "0.500")
    assert found.findtext("failure") == "it <fails> \ufffd[1m\ufffd"
    assert {each.get("name"): each.get("value") for each in found.iter("property")} == {
        "scenario": "calm",
        "schedules": "10",
        "distinct": "10",
        "schedule": "wt1-x",
    }
    assert broken.findtext("error") == "no disk"
    assert out.find("skipped") is not None


def test_what_has_changed_comes_first(tmp_path: Path) -> None:
    """A test that fails now comes first, one that is gone last; the page has the same rows."""
    bad = SearchEnd("t", failure="it fails", kind="deadlock", token="wt1-x")
    old = tmp_path / "old.json"
    old.write_bytes(json_document(report(same=10, worse=10, better=bad, bad=bad, gone=10)))
    now = report(same=30, worse=bad, better=20, bad=bad, new=10)
    rows = compared(read_report(old), now["tests"])
    assert [(row["test"].rpartition(":")[2], row["change"]) for row in rows] == [
        ("worse", "fails now"),
        ("new", "new"),
        ("better", "passes now"),
        ("bad", "still fails"),
        ("same", "as before"),
        ("gone", "gone"),
    ]
    said = [*lines(rows, old)]
    assert said[1] == (
        "  tests/test_a.py::worse: fails now (no failure, then deadlock found; "
        "+0 schedules, +0 distinct, +0 alternatives taken)"
    )
    assert said[5].endswith("as before (+20 schedules, +20 distinct, +40 alternatives taken)")
    now["compared"] = {"file": str(old), "tests": rows}
    jsonschema.validate(now, SCHEMA)
    page = campaign_page(now, tmp_path / "page.html").decode()
    assert page.index("fails now") < page.index("as before") < page.index(">gone<")
    assert "2 workers of dask://a:1" in page


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"{", "cannot be read: Input data was truncated; give --compare a file that"),
        (b'{"format": "wavetank-report", "version": 1}', "is no report of a campaign: give --compare"),
        (b'{"format": "wavetank-campaign-report", "version": 9}', "has version 9; this wavetank reads 1"),
        (b'{"format": "wavetank-campaign-report", "version": 1, "tests": [{}]}', "missing required field"),
    ],
)
def test_a_file_that_is_no_report_is_refused(tmp_path: Path, content: bytes, words: str) -> None:
    """The error names the file, and says which file is meant."""
    path = tmp_path / "old.json"
    path.write_bytes(content)
    with pytest.raises(CampaignError, match=words):
        read_report(path)
