"""`wavetank forecast` as a user types it: the answer, what it assumes, and what is wrong with bad input."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path
from typing import Any

import pytest

from wavetank.cli import main
from wavetank.forecast import runs

from ..depth import n_of

OPENAI = ("--limits", "openai/gpt-4o-mini/tier-1")
RANGES = ("--input-tokens", "900", "--output-tokens", "150..600")


def asked(capsys: pytest.CaptureFixture[str], *words: str) -> dict[str, Any]:
    """The JSON of a forecast."""
    assert main(["forecast", *words, "--json"]) == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def refused(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    """The error of a forecast that cannot be made."""
    assert main(["forecast", *words]) == 2
    return capsys.readouterr().err


def test_the_answer_is_a_table_with_what_binds_and_what_is_assumed(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Time, refusals, cost, what binds and the smallest -j are there, and the assumptions with sources."""
    assert main(["forecast", "--rows", "80", *RANGES, *OPENAI, "-j", "2,20", "--seeds", "1"]) == 0
    out = capsys.readouterr().out
    head, slow, fast, *rest = out.splitlines()
    assert head.split() == (
        [
            "time",
            "95%",
            "end",
            "by",
            "first",
            "row",
            "last",
            "row",
            "refused",
            "retries",
            "cost",
            "undone",
            "binds",
        ]
    )
    assert slow.startswith("-j 2 ")
    assert slow.endswith("latency (-j 2 all in use)")
    assert fast.startswith("-j 20")
    assert "tokens per minute" in fast
    assert "the smallest -j within 2 % of the best is 20" in rest
    assert any("developers.openai.com" in line for line in rest)
    assert any("prices: $0.15 in, $0.6 out" in line for line in rest)


def test_where_no_batch_is_finished_the_one_that_gets_furthest_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """How fast a batch ends that does not get through says nothing."""
    limits = tmp_path / "quota.toml"
    limits.write_text("[limits]\nrequests_per_day = 20\n")
    words = ["--rows", "40", *RANGES, "--scenario", str(limits), "-j", "2,20", "--seeds", "1"]
    assert main(["forecast", *words]) == 0
    printed = capsys.readouterr().out
    assert re.search(r"no -j gets all rows done; -j \d+ leaves the fewest undone", printed)
    assert "within 2 %" not in printed


def test_more_requests_at_once_are_no_slower_until_the_limit_binds(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Below the limit the time is that of the answers; at the limit it is the budget's."""
    found = asked(capsys, "--rows", "200", *RANGES, *OPENAI, "-j", "1,4,40", "--seeds", "1")
    one, four, forty = found["forecasts"]
    assert one["time"]["median"] / four["time"]["median"] == pytest.approx(4, rel=0.05)
    minutes = (forty["input_tokens"] + forty["output_tokens"]) / 200_000
    assert minutes * 60 <= forty["time"]["median"] <= minutes * 60 * 1.15
    cost = (forty["input_tokens"] * 0.15 + forty["output_tokens"] * 0.6) / 1e6
    assert forty["cost"] == pytest.approx(cost)


def test_a_daily_quota_leaves_rows_undone_and_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    """A spent quota ends the run: the rows that are left are counted, with the reason."""
    words = ("--rows", "80", *RANGES, *OPENAI, "--set", "requests_per_day=30", "-j", "5", "--seeds", "1")
    [found] = asked(capsys, *words)["forecasts"]
    assert found["binds"] == "daily quota (requests per day)"
    assert found["completed"] == pytest.approx(30, abs=1)
    assert found["undone"] == {"the quota is spent": pytest.approx(50, abs=1)}


@pytest.mark.parametrize(
    ("worth", "more"),
    [(1, ("--rows", "20", "--seeds", "2")), (80, ("--rows", "8", "--scenario", "brownout"))],
    ids=["from the first seeds", "for the later seeds"],
)
def test_the_same_question_has_the_same_answer_on_any_number_of_processes(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    worth: int,
    more: tuple[str, ...],
) -> None:
    """Processes change how long it takes to answer, and nothing else."""
    monkeypatch.setattr(runs, "WORTH_A_PROCESS", worth)
    monkeypatch.setattr(runs, "MOST_SEEDS", n_of(9, runs.MOST_SEEDS))
    words = (*more, *RANGES, *OPENAI, "-j", "5,6", "--seed", "7")
    assert asked(capsys, *words, "--jobs", "2") == asked(capsys, *words, "--jobs", "1")


def test_scenarios_and_limits_are_compared(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Each value of a list is tried with each of the others; CSV and page have them all."""
    table, page = tmp_path / "f.csv", tmp_path / "f.html"
    words = (
        "--rows",
        "40",
        *RANGES,
        "--limits",
        "openai/gpt-4o-mini/tier-1",
        "--model",
        "gpt-4o-mini,gpt-4o",
        "--scenario",
        "calm,brownout",
        "-j",
        "5",
        "--seeds",
        "1",
    )
    found = asked(capsys, *words, "--csv", str(table), "--html", str(page))
    names = [(each["limits"], each["scenario"]) for each in found["forecasts"]]
    models = ("openai/gpt-4o-mini/tier-1", "openai/gpt-4o/tier-1")
    assert names == [(model, scenario) for model in models for scenario in ("calm", "brownout")]
    with table.open() as file:
        rows = list(csv.DictReader(file))
    assert [(row["limits"], row["scenario"]) for row in rows] == names
    text = page.read_text()
    assert all(f"{limits}, {scenario}, -j 5" in text for limits, scenario in names)
    assert "default-src 'none'" in text
    assert "http-equiv" in text
    assert "src=" not in text


@pytest.mark.parametrize("option", ["--csv", "--html"])
def test_a_file_without_a_folder_is_refused_before_the_runs(
    option: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A forecast may take a minute."""
    said = refused(capsys, "--rows", "5", *RANGES, option, str(tmp_path / "none" / "f"))
    assert f"{option} {tmp_path / 'none' / 'f'}: there is no folder" in said


def test_a_file_that_cannot_be_written_costs_no_answer(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The table is printed before; the status says that something is missing."""
    page = tmp_path
    words = ("--rows", "5", *RANGES, "-j", "5", "--seeds", "1", "--html", str(page))
    assert main(["forecast", *words]) == 1
    out, err = capsys.readouterr()
    assert out.splitlines()[1].startswith("-j 5 ")
    assert f"{page}: cannot be written" in err


def test_a_row_of_a_usage_log_that_is_wrong_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """By the file and the line."""
    log = tmp_path / "week.jsonl"
    log.write_text('{"input_tokens": 5, "output_tokens": 7}\n{"input_tokens": "x", "output_tokens": 7}\n')
    said = refused(capsys, "--usage", str(log))
    assert said.startswith(f"wavetank: --usage: {log}, line 2: input_tokens: expected a number")


def test_a_table_gives_rows_and_lengths(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Longer prompts have more tokens, and the rule is stated."""
    rows = tmp_path / "rows.csv"
    rows.write_text("id,text\n" + "".join(f"{n},{'wave ' * 40}\n" for n in range(20)))
    found = asked(capsys, str(rows), "--prompt-column", "text", "-j", "4", "--seeds", "1")
    [each] = found["forecasts"]
    assert each["rows"] == each["completed"] == 20
    assert 20 * 40 <= each["input_tokens"] <= 20 * 60
    said = "\n".join(found["assumptions"])
    assert f"20 rows of {rows}" in said
    assert "assumed: --output-tokens" in said
    assert "limits: none" in said


def test_a_usage_log_gives_lengths_and_latencies_together(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Short answers of the log are fast in the forecast, and long ones slow."""
    log = tmp_path / "week.jsonl"
    lines = [{"input_tokens": 10, "output_tokens": 5, "seconds": 1}] * 3
    lines += [{"input_tokens": 1000, "output_tokens": 500, "seconds": 9}]
    log.write_text("".join(json.dumps(line) + "\n" for line in lines))
    found = asked(capsys, "--usage", str(log), "--rows", "400", "-j", "1", "--seeds", "1")
    [each] = found["forecasts"]
    long = (each["output_tokens"] - 400 * 5) / 495
    assert 70 <= long <= 130
    assert each["time"]["median"] == pytest.approx(400 + 8 * long, rel=0.001)
    assert each["input_tokens"] == pytest.approx(400 * 10 + 990 * long)


def test_rows_that_arrive_over_time_bind_if_nothing_else_does(capsys: pytest.CaptureFixture[str]) -> None:
    """The last row arrives near the end of the time, and is answered soon after."""
    [each] = asked(capsys, "--rows", "100", *RANGES, "--arrival", "2h", "-j", "10", "--seeds", "1")[
        "forecasts"
    ]
    assert 6500 <= each["time"]["median"] <= 7230
    assert each["binds"].startswith("arrival of the rows")


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--rows", "5", *RANGES, "--limits", "openai/gpt-4o-mimi/tier-1"), "did you mean 'gpt-4o-mini'?"),
        (("--rows", "5", *RANGES, "--limits", "openai/gpt-4o-mini/tier-9"), "did you mean 'tier-"),
        (("--rows", "5", *RANGES, "--scenario", "brownot"), "did you mean 'brownout'?"),
        (("--rows", "5"), "give --input-tokens"),
        (RANGES, "there are no rows"),
        (("--rows", "5", *RANGES, "--set", "concurrent=1"), "add --limits"),
        (
            ("--rows", "5", "--input-tokens", "300000", *OPENAI),
            "admits nothing: the smallest row needs 300,100",
        ),
        (("--rows", "5", "--input-tokens", "9..2"), "--input-tokens 9..2: the range ends before it"),
        (("--rows", "5", "--input-tokens", "9-2"), "--input-tokens 9-2: give a number of tokens"),
        (("--rows", "5", *RANGES, *OPENAI, "--set", "concurent=1"), "--set: no limit is called 'concurent'"),
        (
            ("--rows", "5", *RANGES, *OPENAI, "--model", "gpt-4oo"),
            "--model: 'openai/gpt-4oo/tier-1': openai has",
        ),
        (("--usage", "none.jsonl"), "none.jsonl' cannot be read: there is no such file; name another file"),
        (("--rows", "5", *RANGES, "--arrival", "soon"), "--arrival soon"),
    ],
)
def test_bad_input_is_named_with_the_way_out(
    words: tuple[str, ...], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nothing is run; the error says what to change."""
    assert says in refused(capsys, *words)


def test_a_table_without_the_column_or_rows_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The error names the columns that there are."""
    rows = tmp_path / "rows.csv"
    rows.write_text("id,text\n1,a\n")
    assert "there is no column 'prompt', only 'id', 'text'" in refused(capsys, str(rows))
    rows.write_text("id,prompt\n")
    assert "has no rows" in refused(capsys, str(rows))
    assert "cannot read" in refused(capsys, str(tmp_path / "none.csv"))


def test_limits_that_no_run_has_are_named(capsys: pytest.CaptureFixture[str]) -> None:
    """A month's budget and the queue of a batch API hold no run back, and the assumptions say so."""
    words = ("--rows", "3", *RANGES, "-j", "2", "--seeds", "1", "--limits")
    said = asked(capsys, *words, "mistral/mistral-large-latest/free,openai/gpt-4o-mini/tier-1")["assumptions"]
    named = [line for line in said if line.startswith("not modelled: ")]
    assert any("tokens per month (" in line and "ends early" in line for line in named)
    assert any("batch queue tokens (" in line and "one by one" in line for line in named)


def test_other_clients_are_compared(capsys: pytest.CaptureFixture[str]) -> None:
    """With too few retries for the limits the SDK gives rows up; the processor and more retries do not."""
    words = ("--rows", "12", *RANGES, *OPENAI, "-j", "6", "--seeds", "1")
    found = asked(capsys, *words, "--client", "processor,openai:0,openai:20,aiolimiter")
    [again] = asked(capsys, *words, "--client", "openai:20")["forecasts"]
    processor, none, many, limiter = found["forecasts"]
    assert processor["completed"] == many["completed"] == 12
    assert many == again
    assert none["retries"] == 0
    assert none["undone"] == {"RateLimitError (status 429) after its retries": 12 - none["completed"]}
    assert 0 < none["completed"] < 12
    assert many["refused"] > processor["refused"]
    assert limiter["client"] == "aiolimiter"


# In the process of the other tests that import litellm, which takes seconds.
@pytest.mark.xdist_group("SDKs")
def test_the_router_of_litellm_is_compared(capsys: pytest.CaptureFixture[str]) -> None:
    """It retries as often as its number says, and the same forecast comes out again."""
    words = ("--rows", "6", *RANGES, *OPENAI, "-j", "3", "--seeds", "1")
    none, many = asked(capsys, *words, "--client", "litellm:0,litellm:20")["forecasts"]
    [again] = asked(capsys, *words, "--client", "litellm:20")["forecasts"]
    assert none["retries"] == 0
    assert none["undone"] == {"RateLimitError (status 429) after its retries": 6 - none["completed"]}
    assert 0 < none["completed"] < many["completed"] == 6
    assert many == again


@pytest.mark.parametrize(
    ("client", "says"),
    [
        ("opnai", "did you mean 'openai'?"),
        ("openai:many", "no client 'openai:many'"),
        ("processor:2", "no client"),
    ],
)
def test_a_client_that_there_is_not_is_named(
    client: str, says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """The error names those that there are."""
    assert says in refused(capsys, "--rows", "5", *RANGES, "--client", client)


def test_the_rate_of_a_limiter_needs_a_limit(capsys: pytest.CaptureFixture[str]) -> None:
    """Without a limit by the minute there is nothing to give to the limiter."""
    said = refused(capsys, "--rows", "5", *RANGES, "--client", "aiolimiter", "--seeds", "1")
    assert "needs a limit on requests by the minute" in said


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--max-tokens", "50"], "for --max-tokens: --output-tokens A..B says how long the answers are"),
        (["--rate=10/s"], "for --rate: --set requests_per_minute=N sets that limit"),
        (
            ["--provider", "openai", "--journal", "run.db"],
            "for --provider: --limits names provider, model and tier, "
            "such as anthropic/claude-sonnet/tier-2; leave out --journal, which a forecast does not need",
        ),
    ],
)
def test_an_option_of_run_has_its_name_here(
    words: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """A command line that was copied from `wavetank run` says what to write instead."""
    with pytest.raises(SystemExit):
        main(["forecast", "rows.csv", *words])
    assert said in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main(["forecast", "rows.csv", "--unheard-of"])
    assert capsys.readouterr().err.strip().endswith("unrecognized arguments: --unheard-of")


def test_a_time_that_may_be_far_off_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    """With the shortest and the longest run; one that is known has no such line."""
    few = ["forecast", "--rows", "8", *RANGES, *OPENAI, "-j", "4", "--seeds", "4"]
    assert main([*few, "--scenario", "brownout"]) == 0
    out = capsys.readouterr().out
    assert re.search(
        r"^-j 4: the time is uncertain \(± \d+\.\d%\): 4 runs took from \S+ to \S+\. ", out, re.M
    )
    assert "8 rows do not average it out" in out
    assert main(["forecast", "--rows", "400", *RANGES, *OPENAI, "-j", "4", "--seeds", "3"]) == 0
    assert "uncertain" not in capsys.readouterr().out
