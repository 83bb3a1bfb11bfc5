"""Counts the decisions of a run in OpenTelemetry, an extra that is imported only when it is used."""

from __future__ import annotations

import importlib
from typing import Any, Final, final

from .decisions import Decision

METER_NAME: Final = "wavetank.processor"


@final
class OpenTelemetryMetrics:
    """An observer that counts what a run decides.

    `wavetank.decisions` counts every decision by `kind` and `scope`. `wavetank.pause` has the
    seconds of each pause, recorded once when it is over. `wavetank.rate` has the requests in a
    second that the gate lets start.

    Args:
        meter: an OpenTelemetry meter; by default one of the global meter provider.

    Raises:
        ModuleNotFoundError: no meter was given and `opentelemetry-api` is not installed.
    """

    def __init__(self, meter: Any = None) -> None:
        meter = _default_meter() if meter is None else meter
        self._decisions = meter.create_counter(
            "wavetank.decisions", unit="{decision}", description="What the processor decided."
        )
        self._pauses = meter.create_histogram(
            "wavetank.pause", unit="s", description="How long pauses were, from when they were opened."
        )
        self._open: dict[str, tuple[float, float]] = {}
        self._rates = meter.create_histogram(
            "wavetank.rate", unit="{request}/s", description="The rate that the gate found."
        )

    def __call__(self, decision: Decision) -> None:
        """Count a decision."""
        scope = {"scope": decision.scope}
        self._decisions.add(1, {**scope, "kind": decision.kind})
        if decision.kind == "paused" and decision.until is not None:
            since, until = self._open.get(decision.scope, (decision.at, decision.at))
            if not since <= decision.at < until:
                self._over(decision.scope)
                since = decision.at
            self._open[decision.scope] = (since, decision.until)
        elif decision.kind == "resumed":
            self._over(decision.scope)
        if decision.rate is not None:
            self._rates.record(decision.rate, scope)

    def _over(self, scope: str) -> None:
        if (pause := self._open.pop(scope, None)) is not None:
            since, until = pause
            self._pauses.record(until - since, {"scope": scope})


def _default_meter() -> Any:
    try:
        metrics = importlib.import_module("opentelemetry.metrics")
    except ModuleNotFoundError:
        raise ModuleNotFoundError(
            "OpenTelemetryMetrics() needs OpenTelemetry: pip install opentelemetry-api, or give it a meter"
        ) from None
    return metrics.get_meter(METER_NAME)
