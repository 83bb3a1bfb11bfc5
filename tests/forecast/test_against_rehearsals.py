"""A forecast agrees with the rehearsal of `wavetank run`, which sends every byte over HTTP."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from wavetank.cli import main

PROMPT = "wave " * 20
TOKENS_IN = 21
"""As the fake counts the prompt."""

CALM = """
[latency]
first_token = "200ms..1400ms"
tokens_per_second = 50
[answers]
tokens = 60
"""
LIMITED = """
[latency]
first_token = "100ms..300ms"
tokens_per_second = 100
[answers]
tokens = 60
[limits]
requests_per_minute = 120
"""
OUTAGE = """
[latency]
first_token = "500ms"
[answers]
tokens = 60
[[wave]]
at = "10s"
lasts = "20s"
"""


@pytest.mark.parametrize(
    ("scenario", "parallel"), [(CALM, 4), (LIMITED, 8), (OUTAGE, 2)], ids=["calm", "limited", "outage"]
)
def test_the_forecast_agrees_with_the_rehearsal(
    scenario: str, parallel: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Time within 5 %, the same refusals within two: the rest is the draw of latencies."""
    path, rows = tmp_path / "s.toml", tmp_path / "rows.jsonl"
    path.write_text(scenario)
    rows.write_text("".join(json.dumps({"prompt": f"{n} {PROMPT}"}) + "\n" for n in range(60)))
    words = [str(rows), "-o", str(tmp_path / "out.csv"), "-j", str(parallel), "--model", "gpt-4o"]
    timeline = tmp_path / "t.html"
    assert main(["run", *words, "--scenario", str(path), "--timeline", str(timeline)]) == 0
    said = capsys.readouterr().out
    found = re.search(
        r"in parallel: (?:(\d+)m)?([\d.]+)s of virtual time, (\d+) requests, (\d+) refused", said
    )
    assert found is not None
    seconds = 60 * int(found[1] or 0) + float(found[2])
    words = ["--rows", "60", "--input-tokens", str(TOKENS_IN), "--output-tokens", "60"]
    assert (
        main(["forecast", *words, "-j", str(parallel), "--scenario", str(path), "--seeds", "3", "--json"])
        == 0
    )
    [forecast] = json.loads(capsys.readouterr().out)["forecasts"]
    assert forecast["time"]["median"] == pytest.approx(seconds, rel=0.05)
    assert forecast["refused"] == pytest.approx(int(found[4]), abs=2)
    assert forecast["completed"] == 60
