"""The check `order`: results in the order of their items, if that is declared."""

from __future__ import annotations

import pytest

import wavetank
from wavetank import Tank
from wavetank.checks.verdict import Verdict

on_both = pytest.mark.parametrize("backend", ["asyncio", "trio"])


def judged(backend: str, outcomes: str, *, declared: bool = True) -> Verdict:
    """The verdict on a program that submits a, b, c and reports these outcomes, a capital for a failure."""

    async def main(tank: Tank) -> None:
        if declared:
            tank.expect(order="input")
        for item in "abc":
            tank.ledger.submit(item)
        for item in outcomes:
            if item.isupper():
                tank.ledger.fail(item.lower(), "no")
            else:
                tank.ledger.complete(item)

    return wavetank.simulate(main, backend=backend, checks="order").verdicts["order"]


@on_both
@pytest.mark.parametrize("outcomes", ["abc", "aBc", "ac", "c", "aabc", "abca", "xabc"])
def test_the_order_of_the_items_passes(backend: str, outcomes: str) -> None:
    """Failures count, items without an outcome, second outcomes and foreign items do not."""
    assert judged(backend, outcomes).passed is True


@on_both
@pytest.mark.parametrize(
    ("outcomes", "late", "early"), [("acb", "b", "c"), ("ba", "a", "b"), ("Cb", "b", "c"), ("bA", "a", "b")]
)
def test_another_order_fails(backend: str, outcomes: str, late: str, early: str) -> None:
    """The sentence names the item that is late and the one it should have come before."""
    verdict = judged(backend, outcomes)
    assert verdict.passed is False
    assert verdict.summary == (
        f"item {late!r} came to its outcome after {early!r}, and was submitted before it"
    )
    assert len(verdict.evidence) == len(outcomes)


@on_both
def test_nothing_to_judge(backend: str) -> None:
    """Without a declaration, and without an outcome, nothing is judged."""
    assert judged(backend, "cba", declared=False).passed is None
    assert judged(backend, "").passed is None


def test_a_wrong_order_is_reported() -> None:
    """Only the order of the input can be declared."""

    async def main(tank: Tank) -> None:
        tank.expect(order="output")

    error = wavetank.simulate(main).error
    assert isinstance(error, ValueError)
    assert str(error) == "expect(order='output'): there is: 'input'"
