"""A desk whose clock calls late, as the machine's own may."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from wavetank.clock import MILLISECOND, SECOND, Timer
from wavetank.provider.request import Request
from wavetank.scenario import scenario_from_dict
from wavetank.seams.real_time import RealWaits
from wavetank.tank.assembly import assemble


class _Late:
    """A clock that stands still and calls when it is told to."""

    def __init__(self) -> None:
        self.at = 0
        self.calls: dict[int, Callable[[], object]] = {}

    def now(self) -> int:
        return self.at

    def call_at(self, when: int, callback: Callable[[], object]) -> Timer:
        self.calls[when] = callback
        return self

    def cancel(self) -> None:
        self.calls.clear()


@pytest.mark.parametrize(
    ("form", "wait"), [("http-date", 4 * SECOND - 90 * MILLISECOND), ("seconds", 4 * SECOND)]
)
def test_a_date_does_not_move_when_its_refusal_is_sent_late(form: str, wait: int) -> None:
    """The wait that is logged ends at the date on the wire; a number counts from when it was sent."""
    wave = {"lasts": "4s", "retry_after": {"form": form}}
    scenario = scenario_from_dict({"wave": [wave]}, name="late", source="late")
    clock = _Late()
    parts = assemble(scenario, clock, RealWaits(), seed=0, backend="real")
    request = Request(model="m", secret="k", prompt="p", prompt_tokens=1, item="a", declared=True)
    parts.desk.open(request, sent=0, deliver=lambda _: None)
    clock.at = 90 * MILLISECOND
    for callback in [*clock.calls.values()]:
        callback()
    assert [event.retry_after for event in parts.log.of("refused")] == [wait]
    assert parts.desk.records[0].retry_after == wait / SECOND
