"""Each kind of file is known by what is in it, gives the same scenario, and keeps its secrets to itself."""

from __future__ import annotations

import json
import tracemalloc
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import set_span_in_context

from wavetank.clock import SECOND
from wavetank.incidents import IncidentError, learn
from wavetank.incidents import collected as collecting
from wavetank.incidents.values import instant
from wavetank.incidents.writing import as_toml, summary
from wavetank.scenario import Scenario, parse_scenario

from .incident_files import (
    FILES,
    SECRETS,
    START,
    Sent,
    csv,
    har,
    iso,
    litellm,
    one_wave,
    span_lines,
)


def scenario_from(*files: Path) -> Scenario:
    """What is learned, read back from its text."""
    return parse_scenario(as_toml(learn(files)), name="incident", source="test")


@pytest.mark.parametrize("name", FILES)
def test_each_kind_gives_the_same_wave(name: str, tmp_path: Path) -> None:
    """From 5 s until 9 s requests are refused, whatever wrote it down; the name of the file says nothing."""
    file = tmp_path / "file"
    file.write_text(FILES[name](one_wave()))
    learned = learn([file])
    assert learned.replayed.exact
    (wave,) = scenario_from(file).wave
    assert wave.lasts is not None
    assert (wave.status, wave.share) == (429, 1.0)
    assert 4.5 * SECOND < wave.at <= 5 * SECOND
    assert 8.5 * SECOND < wave.at + wave.lasts <= 9 * SECOND
    assert learned.collected.start == int(START.timestamp()) * SECOND


@pytest.mark.parametrize(
    "name", ["requests.csv", "session.har", "traces.json", "export.jsonl", "spans.jsonl"]
)
def test_what_refusals_state_is_kept(name: str, tmp_path: Path) -> None:
    """A Retry-After that counts down says where the wave ends, and is stated again."""
    file = tmp_path / name
    file.write_text(FILES[name](one_wave()))
    (wave,) = scenario_from(file).wave
    assert wave.lasts is not None
    assert (wave.at + wave.lasts, wave.retry_after) == (9 * SECOND, None)


@pytest.mark.parametrize("name", FILES)
def test_no_prompt_and_no_key_comes_out(name: str, tmp_path: Path) -> None:
    """Secrets are in headers, bodies, attributes and names; also models that are keys are left out."""
    sent = one_wave()
    sent += [Sent(30 + number, 503, model=secret) for number, secret in enumerate(SECRETS)]
    file = tmp_path / name
    file.write_text(FILES[name](sent))
    learned = learn([file])
    text = as_toml(learned) + summary(learned)
    assert not [secret for secret in SECRETS if secret in text]
    assert not [secret for secret in ("Jane", "hunter2", "Zq81") if secret in text]


def test_files_are_merged_by_time(tmp_path: Path) -> None:
    """Halves in two kinds of file are one incident; the header names both."""
    sent = one_wave()
    first, second = tmp_path / "a.har", tmp_path / "b.csv"
    first.write_text(har(sent[::2]))
    second.write_text(csv(sent[1::2]))
    learned = learn([second, first])
    assert [each.requests for each in learned.collected.files] == [20, 20]
    assert learned.replayed.exact
    assert len(learned.waves) == 1
    text = as_toml(learned)
    assert "# a.har: a HAR file, 20 requests, 1 other entry" in text
    assert "# b.csv: a CSV file, 20 requests" in text


def test_times_that_are_no_dates_stay_as_they_are(tmp_path: Path) -> None:
    """Seconds from the start of a run, in the plainest CSV there is."""
    file = tmp_path / "plain.csv"
    rows = [f"{number / 4},{429 if 12 <= number < 20 else 200}" for number in range(4, 40)]
    file.write_text("time,status\n" + "\n".join(rows) + "\n")
    (wave,) = scenario_from(file).wave
    assert 2.75 * SECOND < wave.at <= 3 * SECOND
    assert "Instants are those of the log" in as_toml(learn([file]))


@pytest.mark.parametrize(
    "header",
    [
        "time,status",
        "Timestamp;HTTP Status Code",
        "started_at\tresponse_code",
        "@timestamp,http.response.status_code",
        "startTime,statusCode",
        '"time" , "status"',
        "Request Time (UTC),HTTP Status",
    ],
)
def test_columns_are_known_by_many_names(header: str, tmp_path: Path) -> None:
    """Upper case, blanks, dots and other delimiters do not matter."""
    delimiter = next(each for each in ";\t," if each in header)
    file = tmp_path / "file.csv"
    file.write_text(f"{header}\n{iso(0)}{delimiter}200\n{iso(1)}{delimiter}429\n")
    assert [each.status for each in learn([file]).collected.exchanges] == [200, 429]


def test_columns_may_have_their_unit_behind_them(tmp_path: Path) -> None:
    """In brackets or after `_`; a name without a unit comes first, and tokens a second are no tokens."""
    file = tmp_path / "file.csv"
    file.write_text(
        "time_s,Timestamp,Status,Retry-After (sec),Response Time (msec),tokens/s\n"
        f"0.5,{iso(0)},429,3,250,80\n0.5,{iso(9)},200,,500,80\n"
    )
    refused, served = learn([file]).collected.exchanges
    assert (refused.retry_after, refused.lasted, refused.prompt_tokens) == (3 * SECOND, SECOND // 4, None)
    assert served.at == 9 * SECOND


def test_a_date_to_come_back_needs_times_that_are_dates(tmp_path: Path) -> None:
    """Where the run began, so that it would say something, is not in the log."""
    file = tmp_path / "file.csv"
    file.write_text('time,status,retry_after\n0,200,\n1,429,"Mon, 30 Nov 2026 08:00:00 GMT"\n3,200,\n')
    assert [each.retry_after for each in learn([file]).collected.exchanges] == [None, None, None]


@pytest.mark.parametrize("known", [True, False])
def test_a_limit_of_tokens_is_found(known: bool, tmp_path: Path) -> None:
    """Requests do not explain the refusals and tokens do: 6,000 a minute in a sliding window.

    What a refused request wanted is often not in a log; then it is assumed, and the file says so.
    """
    sent: list[Sent] = []
    spent: list[tuple[float, int]] = []
    for number in range(300):
        at, cost = number * 0.7, 300 if number % 3 else 100
        used = sum(tokens for when, tokens in spent if when > at - 60)
        if used + cost > 6000:
            sent += [Sent(at, 429, tokens=(cost if known else 0, 0))] if cost == 300 else []
        else:
            sent.append(Sent(at, tokens=(cost - 20, 20)))
            spent.append((at, cost))
    file = tmp_path / "tokens.csv"
    file.write_text(csv(sent))
    learned = learn([file])
    (limit,) = learned.limits
    assert (limit.unit, limit.limits.window) == ("tokens", "sliding")
    assert limit.low <= 6000 <= limit.high
    assert ("median" in as_toml(learned)) is not known


def test_a_limit_that_a_header_states_is_taken(tmp_path: Path) -> None:
    """`x-ratelimit-limit-requests` decides between the sizes that fit."""
    times = [number * 1.3 for number in range(60)]
    sent, passed = [], [float("-inf")]
    for at in times:
        refused = at - passed[-1] < 60 / 37
        sent.append(Sent(at, 429 if refused else 200))
        passed += [] if refused else [at]
    document = json.loads(har(sent))
    for entry in document["log"]["entries"]:
        entry["response"]["headers"].append({"name": "x-ratelimit-limit-requests", "value": "37"})
    file = tmp_path / "file.har"
    file.write_text(json.dumps(document))
    (limit,) = learn([file]).limits
    assert limit.low < limit.size == 37 <= limit.high
    assert "as a header stated" in as_toml(learn([file]))


@pytest.fixture
def spans() -> Iterator[InMemorySpanExporter]:
    """Where the spans of a real tracer end up."""
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    tracer = provider.get_tracer("test")
    began = int(START.timestamp()) * SECOND
    for number in range(6):
        at = began + number * SECOND
        with tracer.start_as_current_span("invoke_agent", start_time=at) as agent:
            agent.set_attribute("gen_ai.operation.name", "invoke_agent")
            call = tracer.start_span("chat", start_time=at)
            call.set_attributes({"gen_ai.operation.name": "chat", "gen_ai.request.model": "gpt-4o"})
            for nth, status in enumerate((503, 200) if number == 3 else (200,)):
                request = tracer.start_span(
                    "POST", context=set_span_in_context(call), start_time=at + nth * SECOND // 2
                )
                request.set_attributes(
                    {"server.address": "api.openai.com", "http.response.status_code": status}
                )
                request.end(at + nth * SECOND // 2 + 1000)
            call.end(at + SECOND // 2 + 2000)
    yield exporter
    provider.shutdown()


@pytest.mark.parametrize("indent", [None, 4])
def test_spans_of_the_real_sdk_count_each_try(
    spans: InMemorySpanExporter, indent: int | None, tmp_path: Path
) -> None:
    """An SDK that tried twice made two requests: those of its HTTP client, with the model of the call."""
    file = tmp_path / "spans"
    file.write_text("\n".join(span.to_json(indent=indent) for span in spans.get_finished_spans()) + "\n")
    found = learn([file]).collected
    assert [each.status for each in found.exchanges] == [200, 200, 200, 503, 200, 200, 200]
    assert {each.model for each in found.exchanges} == {"gpt-4o"}
    assert found.files[0].passed_over == 6


def test_a_request_that_was_wrong_by_itself_is_no_refusal(tmp_path: Path) -> None:
    """A 404 and a request without an answer are counted and left out."""
    file = tmp_path / "file.csv"
    file.write_text(csv([Sent(0), Sent(1, 404), Sent(2)]) + f"{iso(3)},,,gpt-4o,,,,,\n")
    learned = learn([file])
    assert learned.waves == ()
    text = as_toml(learned)
    assert "2 served, 1 without an answer, 1 wrong by themselves (404)" in text
    assert "left out" in text


def test_a_spent_account_is_a_refusal_for_billing(tmp_path: Path) -> None:
    """`insufficient_quota` is no rate limit, so no Retry-After is expected."""
    document = json.loads(har([Sent(0), Sent(1, 429), Sent(2)]))
    for entry in document["log"]["entries"][1:]:
        entry["response"]["content"]["text"] = '{"error": {"code": "insufficient_quota"}}'
    file = tmp_path / "file.har"
    file.write_text(json.dumps(document))
    (wave,) = scenario_from(file).wave
    assert wave.error == "billing"


def test_a_part_of_the_time_can_be_chosen(tmp_path: Path) -> None:
    """What was sent before, or from then on, is not read in."""
    file = tmp_path / "file.csv"
    file.write_text(csv(one_wave()))
    learned = learn([file], since=instant(iso(4)), until=instant(iso(7)))
    assert [each.at / SECOND for each in learned.collected.exchanges] == [0, 0.5, 1, 1.5, 2, 2.5]
    with pytest.raises(IncidentError, match="a date such as"):
        learn([file], since=instant("4s"))


def test_more_requests_than_fit_is_an_error_with_the_way_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There is a bound on what is kept."""
    monkeypatch.setattr(collecting, "MOST", 30)
    file = tmp_path / "file.csv"
    file.write_text(csv(one_wave()))
    with pytest.raises(IncidentError, match=r"more than 30 requests; .* --from and --until"):
        learn([file])


@pytest.mark.parametrize("write", [har, litellm, span_lines])
def test_large_prompts_are_not_kept(
    write: Callable[[Sequence[Sent]], str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Four megabytes of prompts are read with less than one in memory."""
    from . import incident_files

    monkeypatch.setattr(incident_files, "SECRETS", (*SECRETS[:3], "x" * 100_000))
    file = tmp_path / "file"
    file.write_text(write(one_wave()))
    assert file.stat().st_size > 4_000_000
    learn([file])  # what is imported and remembered
    tracemalloc.start()
    try:
        learn([file])
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 1_000_000
