"""A ledger that no request matches: a warning says what to set, where a green verdict would say nothing."""

from __future__ import annotations

import pytest

import wavetank


async def ask(tank: wavetank.Tank, item: str | None) -> None:
    tank.ledger.submit("row-1")
    answer = await tank.fake_llm.call("Do row 1, please", item=item)
    tank.ledger.complete("row-1", answer.text)


def test_a_ledger_that_no_request_matches_is_warned_of() -> None:
    """The warning names both sides and the three ways to name an item."""
    with pytest.warns(wavetank.UnmatchedLedger, match="row-1.*Do row 1.*x-wavetank-item.*item_of"):
        wavetank.simulate(lambda tank: ask(tank, None))


def test_a_ledger_that_one_request_matches_is_not() -> None:
    """A probe beside the items is nothing to warn of."""

    async def main(tank: wavetank.Tank) -> None:
        await tank.fake_llm.call("are you there?")
        await ask(tank, "row-1")

    wavetank.simulate(main).check()


@pytest.mark.parametrize("item", [3, ("a",), b"a"])
def test_an_item_that_is_no_string_is_refused_before_it_leaves_a_trace(item: object) -> None:
    """The error says what to write, and no half request stays behind."""

    async def main(tank: wavetank.Tank) -> int:
        with pytest.raises(TypeError, match=r"an item id is a string, not .*str\(id\)"):
            await tank.fake_llm.call("x", item=item)  # type: ignore[arg-type]
        return len(tank.fake_llm.requests)

    run = wavetank.simulate(main)
    assert run.value == 0
    assert run.error is None


def test_refusals_on_their_way_take_no_place_under_the_cap() -> None:
    """Obedient clients get through a cap of one, however long a refusal takes to arrive."""
    limits = {"concurrent": 1}
    scenario = wavetank.load_scenario("calm")
    from wavetank.scenario import override_scenario

    slow = override_scenario(scenario, {"limits": limits, "latency": {"refusal": "3s"}}, source="test")

    async def main(tank: wavetank.Tank) -> None:
        import anyio

        async def client(item: str, wait: float) -> None:
            await anyio.sleep(wait)
            tank.ledger.submit(item)
            while True:
                try:
                    answer = await tank.fake_llm.call("x", item=item)
                except wavetank.RateLimited as refusal:
                    await anyio.sleep(refusal.retry_after or 1)
                else:
                    tank.ledger.complete(item, answer.text)
                    return

        async with anyio.create_task_group() as group:
            for item, wait in (("b", 0.0), ("c", 0.0), ("d", 2.0)):
                group.start_soon(client, item, wait)

    run = wavetank.simulate(main, slow, max_virtual_seconds=120)
    run.check()


def test_evidence_of_a_long_story_is_short() -> None:
    """Of two thousand refusals the first, the last and the number between are listed."""

    async def main(tank: wavetank.Tank) -> None:
        import anyio

        tank.ledger.submit("a")
        for _ in range(2_000):
            with pytest.raises(wavetank.RateLimited):
                await tank.fake_llm.call("x", item="a")
            await anyio.sleep(0.01)

    wave = wavetank.Scenario(wave=({"at": "0s", "lasts": "1h"},))  # type: ignore[arg-type]
    run = wavetank.simulate(main, wave)
    evidence = run.verdicts["exactly_once"].evidence
    assert len(evidence) < 40
    assert any("more events" in line for line in evidence)
