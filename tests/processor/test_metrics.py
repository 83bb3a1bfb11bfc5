"""The adapter to OpenTelemetry, with a meter that records its calls."""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any

import pytest

from wavetank.processor import Decision, OpenTelemetryMetrics


class Meter:
    """Makes instruments that note what they are given."""

    def __init__(self) -> None:
        self.log: list[tuple[Any, ...]] = []

    def create_counter(self, name: str, **_: str) -> Instrument:
        return Instrument(name, self.log)

    create_histogram = create_counter


class Instrument:
    """One of them."""

    def __init__(self, name: str, log: list[tuple[Any, ...]]) -> None:
        self.name = name
        self.log = log

    def add(self, amount: float, attributes: dict[str, str]) -> None:
        self.log.append((self.name, amount, attributes))

    record = add


def test_decisions_are_counted_and_pauses_and_rates_recorded() -> None:
    """Each decision by kind and scope, pauses by their length at their end, cuts by the rate that is left."""
    meter = Meter()
    metrics = OpenTelemetryMetrics(meter)
    for decision in (
        Decision("refused", 1.0, "gpt", "a"),
        Decision("paused", 1.0, "gpt", until=12.0),
        Decision("cut", 1.0, "gpt", rate=20.0),
        Decision("paused", 1.5, "gpt", until=13.0),
        Decision("resumed", 13.0, "gpt"),
    ):
        metrics(decision)
    assert meter.log == [
        ("wavetank.decisions", 1, {"scope": "gpt", "kind": "refused"}),
        ("wavetank.decisions", 1, {"scope": "gpt", "kind": "paused"}),
        ("wavetank.decisions", 1, {"scope": "gpt", "kind": "cut"}),
        ("wavetank.rate", 20.0, {"scope": "gpt"}),
        ("wavetank.decisions", 1, {"scope": "gpt", "kind": "paused"}),
        ("wavetank.decisions", 1, {"scope": "gpt", "kind": "resumed"}),
        ("wavetank.pause", 12.0, {"scope": "gpt"}),
    ]


def test_a_pause_that_grows_is_recorded_once_when_it_is_over() -> None:
    """Each scope has its own pause; one without an end is over when the next one or another run begins."""
    meter = Meter()
    metrics = OpenTelemetryMetrics(meter)
    pauses = [(5.0, "a", 9.0), (6.0, "b", 8.0), (7.0, "a", 10.0), (10.0, "a", 11.0), (1.0, "a", 3.0)]
    for at, scope, until in pauses:
        metrics(Decision("paused", at, scope, until=until))
    for scope in ("a", "b", "c"):
        metrics(Decision("resumed", 20.0, scope))
    assert [entry[1:] for entry in meter.log if entry[0] == "wavetank.pause"] == [
        (5.0, {"scope": "a"}),
        (1.0, {"scope": "a"}),
        (2.0, {"scope": "a"}),
        (2.0, {"scope": "b"}),
    ]


def test_the_meter_is_that_of_opentelemetry(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is asked for by name, and only when no meter was given."""
    module, meter = ModuleType("opentelemetry.metrics"), Meter()
    module.get_meter = lambda name: meter if name == "wavetank.processor" else None  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "opentelemetry", ModuleType("opentelemetry"))
    monkeypatch.setitem(sys.modules, "opentelemetry.metrics", module)
    OpenTelemetryMetrics()(Decision("done", 1.0))
    assert meter.log == [("wavetank.decisions", 1, {"scope": "", "kind": "done"})]


def test_without_opentelemetry_the_error_names_the_fix(monkeypatch: pytest.MonkeyPatch) -> None:
    """The error says what to install."""
    monkeypatch.setitem(sys.modules, "opentelemetry.metrics", None)
    with pytest.raises(ModuleNotFoundError, match="pip install opentelemetry-api"):
        OpenTelemetryMetrics()
