"""Scenarios: how they are read and refused, what their defaults mean, and the catalogue."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wavetank.clock import MILLISECOND, SECOND, Duration, format_duration
from wavetank.scenario import (
    Answers,
    DurationRange,
    Fault,
    Latency,
    Limits,
    Match,
    ProviderClock,
    Ramp,
    RetryAfter,
    Scenario,
    ScenarioError,
    ScopeKind,
    Wave,
    catalogue,
    digest,
    last_instant,
    lets_through,
    load_scenario,
    longest_retry_after,
    may_meet_all,
    override_scenario,
    parse_scenario,
    scenario_from_dict,
    wave_retry_after,
    wave_scope,
    window_at,
)
from wavetank.scenario.errors import Place

ROOT: Final = Path(__file__).parents[1]
EVERY_KEY: Final = """
title = "All"
story = "Every key once."

[clock]
behind = "90s"

[latency]
first_token = "80ms..400ms"
tokens_per_second = 60
refusal = "20ms"

[answers]
text = "The quota is fine."

[limits]
requests_per_minute = 600
input_tokens_per_minute = 60_000
output_tokens_per_minute = 30_000
tokens_per_minute = 90_000
burst = "2s"
requests_per_day = 1000
tokens_per_day = 1_000_000
day_begins = "8h"
concurrent = 50
ramp = { requests = 30, tokens = 900, growth_percent = 25, window = "1m" }
penalty = "1s"
retry_after = "none"
reset = "-2s"
scope = "key"
match = { key = "sk-*" }

[[limit]]
requests_per_day = 50
day = "rolling"

[[limit]]
requests = 10
input_tokens = 100
output_tokens = 200
tokens = 300
per = "5s"
window = "sliding"
count_refused = true

[[wave]]
at = "2s"
lasts = "1500ms"
every = "10s"
times = 3
status = 503
error = "ramp"
wrapping = "in-200"
should_retry = false
retry_after = { form = "http-date", value = "1s" }
share = 0.5
stagger = "250ms"
scope = "item"
match = { model = "gpt-*", key = "key-1", item = "a*", host = "*.openai.com" }

[[wave]]
when_in_flight = 8
patience = "2s"
times = 2
retry_after = "none"

[[fault]]
at = "5s"
kind = "stall"
lasts = "30s"
after_chunks = 3
times = 2
share = 1
match = { item = "b" }

[[fault]]
kind = "error-in-stream"
error = "overloaded"

[[fault]]
kind = "connection-refused"
at = "2m"
lasts = "30s"
every = "10m"
times = 3
"""


def seconds(count: float) -> Duration:
    """A length of time, for short tests."""
    return Duration(round(count * SECOND))


def parse(text: str) -> Scenario:
    """A scenario from text, as if from a file."""
    return parse_scenario(text, name="mine", source="mine.toml")


def refusal(text: str) -> str:
    """What the error says that this text earns."""
    with pytest.raises(ScenarioError) as caught:
        parse(text)
    return str(caught.value)


def wave(**keys: Any) -> Wave:
    """A wave of two seconds, but for what is given."""
    return Wave(**{"lasts": seconds(2), **keys})


# -- reading -----------------------------------------------------------------------------


def test_every_key_is_read() -> None:
    """A file that uses every key becomes the Structs it describes."""
    assert parse(EVERY_KEY) == Scenario(
        name="mine",
        title="All",
        story="Every key once.",
        clock=ProviderClock(behind=seconds(90)),
        latency=Latency(
            first_token=DurationRange(Duration(80 * MILLISECOND), Duration(400 * MILLISECOND)),
            tokens_per_second=60.0,
            refusal=DurationRange(Duration(20 * MILLISECOND), Duration(20 * MILLISECOND)),
        ),
        answers=Answers(text="The quota is fine."),
        limits=Limits(
            requests_per_minute=600,
            input_tokens_per_minute=60_000,
            output_tokens_per_minute=30_000,
            tokens_per_minute=90_000,
            burst=seconds(2),
            requests_per_day=1000,
            tokens_per_day=1_000_000,
            day_begins=seconds(8 * 3600),
            concurrent=50,
            ramp=Ramp(requests=30, tokens=900, growth_percent=25, window=seconds(60)),
            penalty=seconds(1),
            retry_after=RetryAfter(form="none"),
            reset=seconds(-2),
            scope="key",
            match=Match(key="sk-*"),
        ),
        limit=(
            Limits(requests_per_day=50, day="rolling"),
            Limits(
                requests=10,
                input_tokens=100,
                output_tokens=200,
                tokens=300,
                per=seconds(5),
                window="sliding",
                count_refused=True,
            ),
        ),
        wave=(
            Wave(
                at=seconds(2),
                lasts=seconds(1.5),
                every=seconds(10),
                times=3,
                status=503,
                error="ramp",
                wrapping="in-200",
                should_retry=False,
                retry_after=RetryAfter(form="http-date", value=seconds(1)),
                share=0.5,
                stagger=seconds(0.25),
                scope="item",
                match=Match(model="gpt-*", key="key-1", item="a*", host="*.openai.com"),
            ),
            Wave(when_in_flight=8, patience=seconds(2), times=2, retry_after=RetryAfter(form="none")),
        ),
        fault=(
            Fault(
                kind="stall",
                at=seconds(5),
                lasts=seconds(30),
                after_chunks=3,
                times=2,
                match=Match(item="b"),
            ),
            Fault(kind="error-in-stream", error="overloaded"),
            Fault(kind="connection-refused", at=seconds(120), lasts=seconds(30), every=seconds(600), times=3),
        ),
    )


def test_an_empty_file_is_a_provider_that_never_refuses() -> None:
    """Every key has a default."""
    assert parse("") == Scenario(name="mine")


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ('"1s"', RetryAfter(value=seconds(1))),
        ('"none"', RetryAfter(form="none")),
        ('{ form = "ms", value = "1500ms" }', RetryAfter(form="ms", value=seconds(1.5))),
        ('{ form = "body" }', RetryAfter(form="body")),
        ('{ value = "3s" }', RetryAfter(value=seconds(3))),
        ('{ form = "none" }', RetryAfter(form="none")),
        ('"-1m30s"', RetryAfter(value=seconds(-90))),
        ('{ form = "http-date", value = "-0.5s" }', RetryAfter(form="http-date", value=seconds(-0.5))),
    ],
)
def test_a_retry_after_has_three_ways_to_be_written(written: str, read: RetryAfter) -> None:
    """A length, the word none, or a table whose value may be left out."""
    assert parse(f'[[wave]]\nlasts = "2s"\nretry_after = {written}').wave[0].retry_after == read


@given(low=st.integers(0, 10**12), more=st.integers(0, 10**12))
def test_a_range_is_read_as_it_was_written(low: int, more: int) -> None:
    """Two durations with `..` between them become the two ends, exactly."""
    text = f"{format_duration(low)}..{format_duration(low + more)}"
    read = scenario_from_dict({"latency": {"first_token": text}}, name="n", source="s")
    assert read.latency.first_token == DurationRange(Duration(low), Duration(low + more))


def test_a_table_in_code_may_hold_structs_and_none() -> None:
    """Besides plain values, a table takes Structs, tuples, and `None` for a key left out."""
    data: dict[str, object] = {
        "latency": Latency(tokens_per_second=5.0),
        "limits": {"penalty": None},
        "wave": (wave(), {"when_in_flight": 3, "lasts": None}),
    }
    assert scenario_from_dict(data, name="n", source="s") == Scenario(
        name="n", latency=Latency(tokens_per_second=5.0), wave=(wave(), Wave(when_in_flight=3))
    )


# -- refusing ----------------------------------------------------------------------------

REFUSED: Final[dict[str, tuple[str, tuple[str, ...]]]] = {
    "unknown top key": (
        'stroy = "x"',
        ("stroy: unknown key", "did you mean 'story'?", "keys here are: title, story"),
    ),
    "plural": ('[[waves]]\nlasts = "1s"', ("waves: unknown key", "did you mean 'wave'?")),
    "unknown nested key": ("[limits]\nconcurent = 5", ("limits.concurent", "did you mean 'concurrent'?")),
    "hyphen": (
        '[[wave]]\nlasts = "1s"\nretry-after = "1s"',
        ("[[wave]] number 1, retry-after", "did you mean 'retry_after'?"),
    ),
    "nothing near": (
        "[limits]\nqqq = 5",
        ("limits.qqq: unknown key. The keys here are: requests_per_minute",),
    ),
    "deep key": (
        '[[wave]]\nlasts = "1s"\n[[wave]]\nlasts = "1s"\nretry_after = { from = "ms" }',
        ("[[wave]] number 2, retry_after.from: unknown key", "did you mean 'form'?"),
    ),
    "name": ('name = "x"', ("name: ", "named by its file", "title")),
    "unknown form": (
        '[[wave]]\nlasts = "1s"\nretry_after = { form = "http-dat" }',
        (
            "[[wave]] number 1, retry_after.form",
            "'http-dat'; did you mean 'http-date'?",
            "Choose from: seconds",
        ),
    ),
    "unknown kind": (
        '[[fault]]\nkind = "stal"',
        ("[[fault]] number 1, kind", "did you mean 'stall'?", "slow-trickle"),
    ),
    "unknown scope": (
        '[limits]\nscope = "zzz"',
        ("limits.scope: unknown value 'zzz'. Choose from: account",),
    ),
    "enum of another type": ("[limits]\nscope = 3", ("limits.scope: unknown value 3.",)),
    "missing kind": ("[[fault]]", ("[[fault]] number 1, kind: is missing", "choose from: stall")),
    "bare number": ("[[wave]]\nat = 5\nlasts = '1s'", ("[[wave]] number 1, at", 'write "5s"', '"5ms"')),
    "bare fraction": ("[limits]\nburst = 0.5", ("limits.burst: 0.5 has no unit", 'write "0.5s"')),
    "bare Retry-After": ("[[wave]]\nlasts = '1s'\nretry_after = 5", ("retry_after: 5 has no unit", '"5s"')),
    "negative": ("[[wave]]\nat = '-5s'\nlasts = '1s'", ("number 1, at", "cannot be negative", '"-5s"')),
    "negative number": (
        "[limits]\nburst = -5",
        ("limits.burst: a length of time", 'such as "5s", not a whole'),
    ),
    "negative in a range": ("[latency]\nrefusal = '-1s..2s'", ("latency.refusal", "cannot be negative")),
    "no duration": ("[[wave]]\nlasts = 'long'", ("lasts: 'long' is not a duration", '"2s"')),
    "flag for a duration": ("[[wave]]\nlasts = true", ("lasts: a length of time", "not true or false")),
    "date for a duration": ("[[wave]]\nlasts = 2026-01-01", ("lasts: a length of time", "not date")),
    "half a range": ("[latency]\nfirst_token = '80ms..'", ("latency.first_token: '' is not a duration",)),
    "backward range": (
        "[latency]\nfirst_token = '400ms..80ms'",
        ("latency.first_token: the range runs backwards", 'write "80ms..400ms"'),
    ),
    "list for a range": ("[latency]\nrefusal = ['1s']", ("latency.refusal: a length of time", "not a list")),
    "word for a Retry-After": (
        "[[wave]]\nlasts = '1s'\nretry_after = 'non'",
        ("retry_after: unknown value 'non'; did you mean 'none'?", '{ form = "http-date"'),
    ),
    "list for a Retry-After": ("[[wave]]\nlasts = '1s'\nretry_after = ['1s']", ("retry_after", "not a list")),
    "single brackets": ("[wave]\nlasts = '1s'", ("wave: ", "[[wave]]")),
    "double brackets": ("[[latency]]\nrefusal = '1s'", ("latency: ", "[latency]")),
    "list for a match": (
        "[[wave]]\nlasts = '1s'\nmatch = ['x']",
        ("match: expected a table of model, key, item",),
    ),
    "text for a table": ("limits = 'many'", ("limits: expected a table", "not a text")),
    "text for waves": ("wave = 'big'", ("wave: expected [[wave]] tables", "not a text")),
    "text for an entry": ("wave = ['big']", ("[[wave]] number 1: expected a table", "not a text")),
    "text for a count": ("[limits]\nconcurrent = 'ten'", ("limits.concurrent", "a whole number", "'ten'")),
    "fraction for a count": ("[limits]\nconcurrent = 1.5", ("limits.concurrent", "a whole number", "1.5")),
    "flag for a number": (
        "[[wave]]\nlasts='1s'\nshare = true",
        ("share: expected a number, not true",),
    ),
    "number for a text": ("title = 5", ("title: expected a text, not 5",)),
    "lasts of 0": ("[[wave]]\nlasts = '0s'", ("lasts: must be longer than 0", '"2s"')),
    "no lasts": ("[[wave]]\nat = '1s'", ("lasts: is missing", 'lasts = "2s"', "when_in_flight")),
    "overlap": (
        "[[wave]]\nlasts = '2s'\nevery = '1s'",
        ("every: 1s is shorter than lasts (2s)", "overlap", 'write "2s" or more'),
    ),
    "cycle too short": (
        "[[wave]]\nlasts = '1ns'\nevery = '2ns'",
        ("every: 2ns is too short", 'write "1ms" or more'),
    ),
    "deep brackets": ("a = " + "[" * 5000, ("nested too deep",)),
    "thousands of digits": ("a = " + "9" * 5000, ("s",)),
    "long text": (
        "[[wave]]\nlasts = '" + "x" * 100_000 + "'",
        (
            "lasts",
            "(100",
        ),
    ),
    "times of 0": (
        "[[wave]]\nlasts='1s'\nevery='1s'\ntimes = 0",
        ("times: must be 1 or more, not 0", "for ever"),
    ),
    "barrier times of 0": ("[[wave]]\nwhen_in_flight = 8\ntimes = 0", ("times: must be 1 or more", "once")),
    "times without every": ("[[wave]]\nlasts='1s'\ntimes = 3", ("times: ", "add every or remove times")),
    "barrier of 0": (
        "[[wave]]\nwhen_in_flight = 0",
        ("when_in_flight: must be 1 or more, not 0", "leave it out"),
    ),
    "barrier with at": (
        "[[wave]]\nwhen_in_flight = 8\nat = '0s'",
        ("at: a barrier has no window", "remove at"),
    ),
    "barrier with lasts": ("[[wave]]\nwhen_in_flight = 8\nlasts = '1s'", ("lasts: a barrier has no window",)),
    "barrier with every": ("[[wave]]\nwhen_in_flight = 8\nevery = '9s'", ("every: a barrier has no window",)),
    "patience alone": (
        "[[wave]]\nlasts = '1s'\npatience = '1s'",
        ("patience: only a barrier waits", "when_in_flight"),
    ),
    "share of 0": (
        "[[wave]]\nlasts = '1s'\nshare = 0",
        ("share: must be above 0 and at most 1, not 0.0", "0.4"),
    ),
    "share above 1": (
        "[[wave]]\nlasts = '1s'\nshare = 40",
        ("share: must be above 0 and at most 1, not 40",),
    ),
    "share that is no number": ("[[wave]]\nlasts = '1s'\nshare = nan", ("share: must be above 0", "nan")),
    "status of success": (
        "[[wave]]\nlasts = '1s'\nstatus = 200",
        ("status: ", "from 400 to 599, not 200", "429"),
    ),
    "an answer that says nothing": ("[answers]\ntext = ' '", ("answers.text: is empty",)),
    "an answer with another's mark": (
        "[answers]\ntext = 'see [wt:item-1]'",
        ("answers.text: '[wt:' begins the mark", "remove it"),
    ),
    "a fault that lasts a number of times": (
        "[[fault]]\nkind = 'reset'\nlasts = '5s'\ntimes = 3",
        ("[[fault]] number 1, times: a fault that lasts and repeats", "add every or remove times"),
    ),
    "a fault that overlaps itself": (
        "[[fault]]\nkind = 'no-answer'\nlasts = '5s'\nevery = '4s'",
        ("[[fault]] number 1, every: 4s is shorter than lasts (5s)", 'write "5s" or more'),
    ),
    "a fault that repeats without a length": (
        "[[fault]]\nkind = 'reset'\nevery = '5s'",
        ("[[fault]] number 1, every: say how long", 'lasts = "30s"', "write times"),
    ),
    "a delay that repeats": (
        "[[fault]]\nkind = 'stall'\nlasts = '5s'\nevery = '9s'",
        ("[[fault]] number 1, every: lasts is how long a stall takes", "write times"),
    ),
    "words of a fault that says nothing": (
        "[[fault]]\nkind = 'cut-mid-stream'\nerror = 'quota'",
        ("number 1, error: cut-mid-stream says nothing", '"error-in-stream"'),
    ),
    "a match of a connection": (
        "[[fault]]\nkind = 'connection-refused'\nmatch = { item = 'a' }",
        ("number 1, match: a connection has no model, key or item yet; match only its host",),
    ),
    "a host that is a URL": (
        "[[wave]]\nlasts = '1s'\nmatch = { host = 'https://api.openai.com/v1' }",
        ("number 1, match.host: it is a host alone", 'such as "api.openai.com"'),
    ),
    "a stagger that leaves no stretch": (
        "[[wave]]\nlasts = '4s'\nstagger = '2s'\nscope = 'item'",
        ("number 1, stagger: must be more than 0 and less than half of lasts (4s), not 2s",),
    ),
    "no stagger": (
        "[[wave]]\nlasts = '4s'\nstagger = '0s'\nscope = 'item'",
        ("number 1, stagger: must be more than 0",),
    ),
    "a stagger of the account": (
        "[[wave]]\nlasts = '4s'\nstagger = '1s'",
        ("number 1, stagger: all are one account", 'scope = "item"'),
    ),
    "a stagger of a barrier": (
        "[[wave]]\nwhen_in_flight = 2\nstagger = '1s'\nscope = 'item'",
        ("number 1, stagger: a barrier has no window",),
    ),
    "status of an error inside a success": (
        "[[wave]]\nlasts = '1s'\nstatus = 200\nwrapping = 'in-200'",
        ("status: ", "not 200", "makes it a 200", "write 429"),
    ),
    "no text in an empty body": (
        "[[wave]]\nlasts = '1s'\nwrapping = 'empty'\nretry_after = { form = 'body' }",
        ('number 1, retry_after: wrapping = "empty" has no text', 'write form = "seconds"'),
    ),
    "a proxy knows no error": (
        "[[wave]]\nlasts = '1s'\nwrapping = 'html'\nerror = 'quota'",
        ('number 1, error: wrapping = "html" says nothing',),
    ),
    "near miss of an error": ("[[wave]]\nlasts = '1s'\nerror = 'quotas'", ("did you mean 'quota'?",)),
    "near miss of a wrapping": ("[[wave]]\nlasts = '1s'\nwrapping = 'in200'", ("did you mean 'in-200'?",)),
    "no input tokens": (
        "[[limit]]\ninput_tokens_per_minute = 0",
        ("[[limit]] number 1, input_tokens_per_minute: must be more than 0",),
    ),
    "no daily tokens": ("[limits]\ntokens_per_day = -3", ("limits.tokens_per_day: must be more than 0",)),
    "a day without a budget": (
        "[limits]\nday = 'rolling'",
        ("limits.day: there is no budget by the day; add requests_per_day",),
    ),
    "a day that rolls and begins": (
        "[limits]\nrequests_per_day = 5\nday = 'rolling'\nday_begins = '8h'",
        ("limits.day_begins: a rolling day never begins", "remove day_begins or day"),
    ),
    "a day that begins too late": (
        "[limits]\nrequests_per_day = 5\nday_begins = '24h'",
        ("limits.day_begins: must be less than a day, not 24h",),
    ),
    "a ramp that counts nothing": ("[limits.ramp]\nwindow = '1m'", ("limits.ramp: nothing is counted",)),
    "a ramp without a window": (
        "[limits.ramp]\nrequests = 3\nwindow = '0s'",
        ("limits.ramp.window: must be more than 0",),
    ),
    "a ramp that shrinks": (
        "[limits.ramp]\nrequests = 3\ngrowth_percent = -1",
        ("limits.ramp.growth_percent: must be 0 or more, not -1",),
    ),
    "status too high": ("[[wave]]\nlasts = '1s'\nstatus = 600", ("status: ", "from 400 to 599, not 600")),
    "no requests": (
        "[limits]\nrequests_per_minute = 0",
        ("limits.requests_per_minute: must be more than 0, not 0",),
    ),
    "no tokens": (
        "[limits]\ntokens_per_minute = -1",
        ("limits.tokens_per_minute: must be more than 0, not -1",),
    ),
    "requests in no time": (
        "[limits]\nrequests = 10",
        ('limits.requests: in what time? Add per = "1s"', "write requests_per_minute = 10"),
    ),
    "a time in which nothing is counted": (
        "[[limit]]\nrequests_per_minute = 5\nper = '1s'",
        ("[[limit]] number 1, per: nothing is counted in it; add requests or", "or tokens"),
    ),
    "a window of nothing": (
        "[limits]\nrequests_per_day = 5\nwindow = 'sliding'",
        ("limits.window: nothing is counted in it; add requests_per_minute",),
    ),
    "a burst of a sliding window": (
        "[limits]\nrequests_per_minute = 5\nwindow = 'sliding'\nburst = '1s'",
        ("limits.burst: it is the size of a bucket; remove burst or window",),
    ),
    "refusals that count against nothing": (
        "[limits]\ntokens_per_minute = 5\ncount_refused = true",
        ("limits.count_refused: no requests are counted", "remove count_refused"),
    ),
    "near miss of a window": (
        "[limits]\nrequests_per_minute = 5\nwindow = 'slide'",
        ("limits.window: unknown value 'slide'; did you mean 'sliding'?",),
    ),
    "no time to count in": ("[limits]\nrequests = 5\nper = '0s'", ("limits.per: must be more than 0",)),
    "no burst": ("[limits]\nburst = '0s'", ("limits.burst: must be more than 0, not 0s",)),
    "no concurrency": ("[limits]\nconcurrent = 0", ("limits.concurrent: must be more than 0",)),
    "no penalty": ("[limits]\npenalty = '0s'", ("limits.penalty: must be more than 0", "leave it out")),
    "a clock that is ahead and behind": (
        "[clock]\nahead = '1s'\nbehind = '1s'",
        ("clock.behind: a clock is ahead or behind, not both", "remove one"),
    ),
    "a clock that is ahead by less than nothing": (
        "[clock]\nahead = '-1s'",
        ("clock.ahead: a length of time cannot be negative",),
    ),
    "a past that is no duration": (
        "[limits]\nreset = '-soon'",
        ("limits.reset: ", "is not a duration", '"2s"'),
    ),
    "no pace": (
        "[latency]\ntokens_per_second = 0",
        ("latency.tokens_per_second: must be 0.001 or more", "leave it out"),
    ),
    "endless pace": ("[latency]\ntokens_per_second = inf", ("latency.tokens_per_second", "not inf")),
    "none with a value": (
        "[[wave]]\nlasts = '1s'\nretry_after = { form = 'none', value = '1s' }",
        ("number 1, retry_after.value: ", "states nothing", "remove value"),
    ),
    "chunks below 0": (
        "[[fault]]\nkind='reset'\nafter_chunks = -1",
        ("after_chunks: must be 0 or more, not -1",),
    ),
    "fault never": (
        "[[fault]]\nkind='reset'\ntimes = 0",
        ("[[fault]] number 1, times: must be 1 or more, not 0",),
    ),
    "fault of no length": ("[[fault]]\nkind='stall'\nlasts = '0s'", ("lasts: must be longer than 0",)),
    "fault for no request": ("[[fault]]\nkind='reset'\nshare = 0.0", ("[[fault]] number 1, share: ",)),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_wrong_scenario_is_refused_with_place_and_fix(case: str) -> None:
    """The error names the file, then the key as written, then what is wrong and what to write."""
    text, parts = REFUSED[case]
    said = refusal(text)
    assert said.startswith("mine.toml: ")
    assert [part for part in parts if part not in said] == [], said


@pytest.mark.parametrize(
    "edge", ["status = 400", "status = 599", "share = 1", "share = 0.001", "every = '2s'"]
)
def test_the_ends_of_a_range_are_allowed(edge: str) -> None:
    """Values on the edge of what is allowed are allowed."""
    assert len(parse(f"[[wave]]\nlasts = '2s'\n{edge}").wave) == 1


def test_a_syntax_error_names_file_and_line() -> None:
    """What is not TOML is refused with the line and column of the mistake."""
    said = refusal('title = "x"\n[[wave]\n')
    assert re.match(r"mine\.toml, line 2, column \d+: not TOML: \w", said)


def test_a_syntax_error_at_the_end_names_the_file() -> None:
    """A text that breaks off is refused as well, whether or not the parser counts a line."""
    said = refusal('title = "x')
    assert said.startswith("mine.toml")
    assert "not TOML" in said


def test_an_error_is_a_value_error() -> None:
    """Code that knows nothing of scenarios may catch `ValueError`; the text is the whole story."""
    error = Place("s").key("a").key("b").error("is wrong")
    assert isinstance(error, ValueError)
    assert str(error) == "s: a.b: is wrong"


# -- loading -----------------------------------------------------------------------------


def test_an_editable_install_finds_the_top_folder() -> None:
    """In a source tree the catalogue is the folder beside `src`, all of it, in order."""
    assert catalogue() == tuple(sorted(file.stem for file in (ROOT / "scenarios").glob("*.toml")))
    assert {"calm", "simultaneous", "cascade", "mixed", "overloaded"} <= {*catalogue()}


def test_package_data_goes_before_the_top_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Scenarios inside the package are the catalogue, in a wheel's folder or in an archive."""
    (tmp_path / "scenarios").mkdir()
    (tmp_path / "scenarios" / "packed.toml").write_text('title = "Packed"', "utf-8")
    shelves = (tmp_path / "scenarios", ROOT / "scenarios")
    monkeypatch.setattr("wavetank.scenario.loading._FOLDERS", shelves)
    assert catalogue() == ("packed",)
    monkeypatch.setattr("wavetank.scenario.loading._FOLDERS", (tmp_path / "no folder: an archive",))
    monkeypatch.setattr("importlib.resources.files", lambda _package: tmp_path)
    assert load_scenario("packed") == Scenario(name="packed", title="Packed")


def test_without_a_catalogue_the_error_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An installation that lost its scenarios has an empty catalogue and a plain error."""
    monkeypatch.setattr("wavetank.scenario.loading._FOLDERS", (tmp_path / "scenarios",))
    monkeypatch.setattr("importlib.resources.files", lambda _package: tmp_path)
    with pytest.raises(ScenarioError, match=r"^no scenario 'calm'\. The catalogue has: nothing\."):
        load_scenario("calm")


def test_an_unknown_name_lists_the_catalogue() -> None:
    """A misspelt name is answered with the near one and with all there are."""
    with pytest.raises(ScenarioError) as caught:
        load_scenario("casacde")
    assert "no scenario 'casacde'; did you mean 'cascade'? The catalogue has: acceleration-limit, " in str(
        caught.value
    )


@pytest.mark.parametrize("as_path", [False, True])
def test_a_path_is_read_and_names_the_scenario(tmp_path: Path, as_path: bool) -> None:
    """A path, as text or as an object, leads to a file; the file's stem is the scenario's name."""
    file = tmp_path / "own.toml"
    file.write_text('\ufefftitle = "Own"', "utf-8")
    assert load_scenario(file if as_path else str(file)) == Scenario(name="own", title="Own")


def test_an_error_in_a_file_names_its_path(tmp_path: Path) -> None:
    """The error begins with the path as it was given."""
    file = tmp_path / "own.toml"
    file.write_text("[limits]\nburts = '1s'", "utf-8")
    with pytest.raises(ScenarioError) as caught:
        load_scenario(file)
    assert str(caught.value).startswith(f"{file}: limits.burts: unknown key; did you mean 'burst'?")


@pytest.mark.parametrize("path", ["calmm.toml", "folder/calmm", Path("calmm")])
def test_a_missing_file_lists_the_catalogue(path: str | Path) -> None:
    """The error names the missing path, the near catalogue name and the whole catalogue."""
    with pytest.raises(ScenarioError) as caught:
        load_scenario(path)
    said = str(caught.value)
    assert f"no scenario file '{path}'; did you mean 'calm'? The catalogue has: acceleration-limit, " in said


def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    """A folder and a file in another encoding get an error of their own."""
    (tmp_path / "latin.toml").write_bytes(b'title = "\xe9"')
    with pytest.raises(ScenarioError, match=r"latin\.toml: not UTF-8 text at byte 9"):
        load_scenario(tmp_path / "latin.toml")
    with pytest.raises(ScenarioError, match="cannot be read"):
        load_scenario(tmp_path)


def test_a_scenario_passes_through() -> None:
    """A scenario built in code comes back as the same object, plain nanoseconds allowed."""
    built = Scenario(
        name="built",
        latency=Latency(first_token=DurationRange(Duration(0), seconds(1))),
        wave=(Wave(at=2 * SECOND, lasts=seconds(1)), Wave(when_in_flight=2)),  # type: ignore[arg-type]
        fault=(Fault(kind="reset"),),
    )
    assert load_scenario(built) is built


def test_texts_in_a_scenario_from_code_are_read() -> None:
    """A duration written as text in code means what it means in a file."""
    built = Scenario(name="built", wave=(wave(at="2s"),))
    assert load_scenario(built).wave == (wave(at=seconds(2)),)


@pytest.mark.parametrize(
    ("built", "part"),
    [
        (Scenario(name="b", wave=(Wave(),)), "scenario 'b': [[wave]] number 1, lasts: is missing"),
        (Scenario(name="b", wave=(wave(share=2.0),)), "[[wave]] number 1, share: "),
        (Scenario(name="b", wave=(wave(lasts=Duration(-1)),)), "cannot be negative"),
        (Scenario(name="b", fault=(Fault(kind="rest"),)), "did you mean 'reset'?"),  # type: ignore[arg-type]
    ],
)
def test_a_scenario_from_code_is_checked(built: Scenario, part: str) -> None:
    """The rules of a file hold for code as well, and the error names the scenario."""
    with pytest.raises(ScenarioError) as caught:
        load_scenario(built)
    assert part in str(caught.value)


def test_overrides_replace_whole_parts() -> None:
    """An override replaces its part, keeps the others and the name, and leaves the original alone."""
    cascade = load_scenario("cascade")
    changed = override_scenario(
        cascade, {"limits": {"concurrent": 3}, "fault": [{"kind": "reset"}]}, source="marker"
    )
    assert changed.limits == Limits(concurrent=3)
    assert changed.fault == (Fault(kind="reset"),)
    assert (changed.name, changed.wave) == (cascade.name, cascade.wave)
    assert cascade.fault == ()


def test_a_wrong_override_names_where_it_was_written() -> None:
    """The error speaks of the override, not of the catalogue file."""
    with pytest.raises(ScenarioError, match=r"^the marker: lmits: unknown key; did you mean 'limits'\?"):
        override_scenario(Scenario(), {"lmits": {}}, source="the marker")


# -- meaning -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("asked", "scope"),
    [
        (wave(), "account"),
        (wave(match=Match(key="key-1")), "key"),
        (wave(match=Match(model="gpt-*")), "model"),
        (wave(match=Match(model="gpt-*", key="key-1")), "key"),
        (wave(match=Match(model="gpt-*", key="key-1", item="a")), "item"),
        (wave(share=0.5), "item"),
        (wave(share=0.5, match=Match(model="gpt-*")), "item"),
        (wave(share=0.5, scope="model"), "model"),
        (wave(match=Match(item="a"), scope="account"), "account"),
        (wave(match=Match(host="api.*")), "host"),
        (wave(match=Match(host="api.*", model="gpt-*")), "model"),
    ],
)
def test_a_wave_speaks_for_the_narrowest_thing_it_names(asked: Wave, scope: ScopeKind) -> None:
    """Without a scope, refusals speak for the narrowest pattern, and for the item when it is picked."""
    assert wave_scope(asked) == scope


@pytest.mark.parametrize(
    ("asked", "form", "value"),
    [
        (wave(), "seconds", None),
        (Wave(when_in_flight=2), "seconds", None),
        (wave(status=503), "none", None),
        (wave(status=529), "none", None),
        (wave(status=503, retry_after=RetryAfter(value=seconds(1))), "seconds", seconds(1)),
        (wave(retry_after=RetryAfter(form="none")), "none", None),
    ],
)
def test_only_a_429_states_a_retry_after_by_itself(asked: Wave, form: str, value: Duration | None) -> None:
    """By default a 429 states when to come back, and other statuses do not."""
    assert wave_retry_after(asked) == RetryAfter(form=form, value=value)  # type: ignore[arg-type]


def test_a_window_holds_its_start_and_not_its_end() -> None:
    """A request at the very end of a wave is let through."""
    once = wave(at=seconds(3))
    assert window_at(once, 3 * SECOND - 1) is None
    assert window_at(once, 3 * SECOND) == (0, 3 * SECOND, 5 * SECOND)
    assert window_at(once, 5 * SECOND - 1) == (0, 3 * SECOND, 5 * SECOND)
    assert window_at(once, 5 * SECOND) is None


def test_a_wave_comes_again_as_often_as_it_says() -> None:
    """Occurrences are counted from 0, `every` apart, `times` in all."""
    thrice = wave(at=seconds(1), every=seconds(10), times=3)
    assert window_at(thrice, 22 * SECOND) == (2, 21 * SECOND, 23 * SECOND)
    assert window_at(thrice, 31 * SECOND) is None
    endless = wave(every=seconds(10))
    assert window_at(endless, 10_000 * SECOND) == (1_000, 10_000 * SECOND, 10_002 * SECOND)


def test_occurrences_may_touch() -> None:
    """With `every` as long as `lasts`, the end of one window is the start of the next."""
    assert window_at(wave(every=seconds(2)), 2 * SECOND) == (1, 2 * SECOND, 4 * SECOND)


def test_a_barrier_has_no_window() -> None:
    """A barrier refuses by number, not by time."""
    assert window_at(Wave(when_in_flight=2), 0) is None


@given(
    at=st.integers(0, 50),
    lasts=st.integers(1, 20),
    gap=st.integers(0, 20),
    times=st.none() | st.integers(1, 5),
    instant=st.integers(0, 300),
)
def test_a_window_is_where_the_definition_puts_it(
    at: int, lasts: int, gap: int, times: int | None, instant: int
) -> None:
    """The occurrence found is the one that a search through all of them finds."""
    asked = Wave(at=Duration(at), lasts=Duration(lasts), every=Duration(lasts + gap), times=times)
    starts = [at + number * (lasts + gap) for number in range(times or 301)]
    holding = [(n, s, s + lasts) for n, s in enumerate(starts) if s <= instant < s + lasts]
    assert window_at(asked, instant) == (holding[0] if holding else None)


@pytest.mark.parametrize(
    ("scenario", "instant"),
    [
        (Scenario(), 0),
        (Scenario(wave=(wave(at=seconds(3)),)), 5),
        (Scenario(wave=(wave(at=seconds(3), every=seconds(10), times=3),)), 25),
        (Scenario(wave=(wave(at=seconds(3), every=seconds(10)),)), 5),
        (Scenario(wave=(Wave(when_in_flight=8),)), 0),
        (Scenario(wave=(wave(),), fault=(Fault(kind="stall", at=seconds(7)),)), 7),
        (Scenario(fault=(Fault(kind="stall", at=seconds(7), lasts=seconds(9)),)), 7),
        (Scenario(fault=(Fault(kind="no-answer", at=seconds(7), lasts=seconds(9)),)), 16),
        (Scenario(fault=(Fault(kind="reset", lasts=seconds(2), every=seconds(5), times=3),)), 12),
    ],
)
def test_the_last_instant_is_the_end_of_what_ends(scenario: Scenario, instant: int) -> None:
    """Finite waves count to their last end, endless ones once, faults with their start."""
    assert last_instant(scenario) == instant * SECOND


@pytest.mark.parametrize(
    ("scenario", "longest"),
    [
        (Scenario(), 0),
        (Scenario(wave=(wave(),)), 2),
        (Scenario(wave=(wave(lasts=seconds(1.5)),)), 2),
        (Scenario(wave=(wave(lasts=seconds(1.5), retry_after=RetryAfter(form="ms")),)), 1.5),
        (Scenario(wave=(wave(retry_after=RetryAfter(value=seconds(7.5))),)), 7.5),
        (Scenario(wave=(wave(retry_after=RetryAfter(form="http-date", value=seconds(7.5))),)), 8),
        (Scenario(wave=(wave(retry_after=RetryAfter(value=Duration(0))),)), 0),
        (Scenario(wave=(wave(retry_after=RetryAfter(value=seconds(-9))),)), 0),
        (Scenario(wave=(wave(status=503),)), 0),
        (Scenario(wave=(Wave(when_in_flight=8),)), 1),
        (Scenario(limits=Limits(penalty=seconds(4)), wave=(wave(),)), 4),
    ],
)
def test_the_longest_retry_after_is_as_the_wire_states_it(scenario: Scenario, longest: float) -> None:
    """Written values as they are; computed ones as long as the wave, rounded up where the form is."""
    assert longest_retry_after(scenario) == seconds(longest)


@pytest.mark.parametrize(
    ("waves", "through"),
    [
        ((), True),
        ((wave(),), True),
        ((wave(every=seconds(2)),), False),
        ((wave(every=seconds(2), at=seconds(5)),), False),
        ((wave(every=seconds(2), times=1_000),), True),
        ((wave(every=seconds(3)),), True),
        ((wave(every=seconds(2), share=0.9),), True),
        ((wave(every=seconds(2), match=Match(model="gpt-*")),), True),
        ((wave(every=seconds(4)), wave(every=seconds(4), at=seconds(2))), False),
        ((wave(every=seconds(4)), wave(every=seconds(5), at=seconds(2))), True),
        ((wave(every=seconds(4)), wave(every=seconds(4), at=seconds(2), times=9)), True),
        ((wave(lasts=Duration(1), every=Duration(1)), wave(every=seconds(7))), False),
        ((Wave(when_in_flight=1, times=10**9),), True),
    ],
)
def test_a_wall_of_endless_waves_lets_nothing_through(waves: tuple[Wave, ...], through: bool) -> None:
    """Only waves that refuse all requests, without end and without a gap, let nothing through."""
    assert lets_through(Scenario(wave=waves)) is through


def test_an_endless_outage_lets_nothing_through() -> None:
    """A fault that lasts is a wall as a wave is, alone or beside one; a delay is none."""
    endless = Fault(kind="no-answer", lasts=seconds(2), every=seconds(4))
    assert lets_through(Scenario(fault=(endless,)))
    assert not lets_through(Scenario(fault=(endless,), wave=(wave(at=seconds(2), every=seconds(4)),)))
    assert not lets_through(Scenario(fault=(Fault(kind="reset", lasts=seconds(2), every=seconds(2)),)))
    assert lets_through(Scenario(fault=(Fault(kind="stall", times=1000),)))


# -- digest ------------------------------------------------------------------------------

SMALL: Final = Scenario(
    wave=(Wave(at=seconds(1), lasts=seconds(2), share=0.5),), fault=(Fault(kind="reset"),)
)
SMALL_DIGEST: Final = "16f3ce05"


def test_a_digest_stays_what_it_is() -> None:
    """The digest of a fixed scenario is a fixed value: schedule tokens and logs hold it."""
    assert digest(SMALL) == SMALL_DIGEST


@pytest.mark.parametrize("hash_seed", ["1", "4242"])
def test_a_digest_is_the_same_in_every_process(hash_seed: str) -> None:
    """Another process with another hash seed computes the same digest from text."""
    code = (
        "from wavetank.scenario import digest, parse_scenario; "
        'text = \'[[wave]]\\nat="1s"\\nlasts="2s"\\nshare=0.5\\n[[fault]]\\nkind="reset"\'; '
        "print(digest(parse_scenario(text, name='other', source='text')))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={"PYTHONHASHSEED": hash_seed, "PYTHONPATH": str(ROOT / "src")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.stdout.strip(), done.stderr) == (SMALL_DIGEST, "")


def test_equal_scenarios_have_equal_digests() -> None:
    """A default that is written out, in code or in a file, does not count."""
    silent = Scenario(wave=(Wave(lasts=seconds(1)),))
    written_out = Scenario(
        limits=Limits(burst=seconds(1)), wave=(Wave(at=seconds(0), lasts=seconds(1), match=Match()),)
    )
    assert silent == written_out
    assert digest(silent) == digest(written_out)


def test_a_digest_states_behaviour_and_not_texts() -> None:
    """Name, title and story may change; any number may not."""
    with_texts = msgspec.structs.replace(SMALL, name="n", title="t", story="s")
    assert digest(with_texts) == SMALL_DIGEST
    changed = msgspec.structs.replace(SMALL, latency=Latency(tokens_per_second=1.0))
    assert digest(changed) != SMALL_DIGEST


def test_the_catalogue_has_a_digest_each() -> None:
    """No two catalogue scenarios behave alike."""
    digests = [digest(load_scenario(name)) for name in catalogue()]
    assert sorted({*digests}) == sorted(digests)
    assert all(len(each) == 8 and int(each, 16) >= 0 for each in digests)


# -- the catalogue -----------------------------------------------------------------------


@pytest.mark.parametrize("name", catalogue())
def test_a_catalogue_scenario_states_its_story(name: str) -> None:
    """Each file loads under its name, has a title and a story, and explains itself in comments."""
    scenario = load_scenario(name)
    assert scenario.name == name
    assert scenario.title
    assert scenario.story.endswith(".")
    lines = (ROOT / "scenarios" / f"{name}.toml").read_text("utf-8").splitlines()
    assert len([line for line in lines if line.startswith("#")]) >= 3
    assert max(map(len, lines)) <= 110


def test_the_reference_lists_the_catalogue() -> None:
    """Each scenario has a row with its story on the page, in the order of the names."""
    _, _, page = (ROOT / "docs" / "scenarios.md").read_text("utf-8").partition("\n## The catalogue\n")
    rows = re.findall(r"^\| `([\w-]+)` \| (.*) \|$", page, flags=re.MULTILINE)
    assert rows == [(name, load_scenario(name).story) for name in catalogue()]


LONG: Final = ("agent-limit", "billing-stop", "daily-quota", "retry-after-two-minutes")
"""These need clients that wait for a long time: that is their story."""


@pytest.mark.parametrize("name", catalogue())
def test_a_catalogue_scenario_stays_within_what_sdks_wait(name: str) -> None:
    """No Retry-After is over a minute, below the two at which openai gives up, and all waves end soon."""
    scenario = load_scenario(name)
    within = longest_retry_after(scenario) <= 60 * SECOND and last_instant(scenario) <= 180 * SECOND
    assert within is (name not in LONG)
    assert lets_through(scenario)
    assert scenario.latency.first_token.high > scenario.latency.first_token.low


def refusals(scenario: Scenario, start: int) -> int:
    """How often an item is refused that arrives at `start` and waits as long as each refusal states."""
    instant, count = start, 0
    while refusing := [each for each in scenario.wave if window_at(each, instant)]:
        sent = instant + scenario.latency.refusal.high
        instant, count = sent + stated(refusing[0], sent), count + 1
    return count


def stated(each: Wave, sent: int) -> int:
    """The Retry-After of a wave's refusal sent at an instant: as written, or the rest in whole seconds."""
    written = wave_retry_after(each).value
    window = window_at(each, sent)
    rest = window[2] - sent if window is not None else 1
    return written if written is not None else -(-rest // SECOND) * SECOND


def test_the_cascade_outlasts_two_retries_and_not_seven() -> None:
    """Honouring Retry-After, an item is refused up to three times in a row and more, never eight."""
    cascade = load_scenario("cascade")
    counts = [refusals(cascade, start * 50 * MILLISECOND) for start in range(20, 1800)]
    assert 3 <= max(counts) <= 7
    first_wave = [refusals(cascade, start * 50 * MILLISECOND) for start in range(20, 40)]
    assert len([count for count in first_wave if count >= 3]) > len(first_wave) // 2
    assert min(first_wave) == 1


def test_calm_refuses_nothing() -> None:
    """Calm is latency alone."""
    calm = load_scenario("calm")
    assert (calm.wave, calm.fault, calm.limits) == ((), (), Limits())


def test_simultaneous_is_one_barrier_of_eight() -> None:
    """All eight are refused at once and get the same Retry-After."""
    (barrier,) = load_scenario("simultaneous").wave
    assert (barrier.when_in_flight, barrier.status) == (8, 429)
    assert wave_retry_after(barrier) == RetryAfter(value=seconds(1))


def test_mixed_speaks_for_items_and_for_a_model() -> None:
    """Its waves have different scopes and statuses, and none refuses everything for long."""
    waves = load_scenario("mixed").wave
    assert [(wave_scope(each), each.status) for each in waves] == [
        ("item", 429),
        ("model", 429),
        ("item", 503),
    ]
    assert all(each.share < 1 or (each.lasts or 0) <= SECOND for each in waves)


def test_overloaded_never_says_when_to_return() -> None:
    """Its refusals are overloads without Retry-After, in stretches that do not overlap."""
    waves = load_scenario("overloaded").wave
    assert {each.status for each in waves} == {503, 529}
    assert {wave_retry_after(each).form for each in waves} == {"none"}
    instants = [tenth * 100 * MILLISECOND for tenth in range(400)]
    assert max(sum(window_at(each, instant) is not None for each in waves) for instant in instants) == 1


@pytest.mark.parametrize(
    ("part", "whether"),
    [
        (Wave(lasts=seconds(20), share=0.5), True),
        (Wave(lasts=seconds(20), every=seconds(60), share=0.5), True),
        (Wave(lasts=seconds(60), every=seconds(60), share=0.1, status=500), False),
        (Wave(lasts=seconds(600), share=0.1), False),
        (Wave(when_in_flight=3, share=0.5), True),
        (Fault(kind="reset", share=0.1), False),
        (Fault(kind="reset", share=0.1, times=3), True),
    ],
    ids=["short", "with pauses", "for ever", "long", "barrier", "every answer", "some answers"],
)
def test_a_background_of_errors_is_no_outage(part: Wave | Fault, whether: bool) -> None:
    """A search lets only short parts with a share meet all requests."""
    assert may_meet_all(part) is whether
