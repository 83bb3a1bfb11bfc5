"""A specimen: a buggy program and its fixed twin, what is known of them, and how to search them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import wraps
from importlib.util import find_spec
from typing import Any, Final, Literal, TypeVar, final

from ..scenario import Scenario
from ..sim.token import THREADS, Schedule
from ..tank.runs.simulate import simulate
from ..tank.search.search import Result, search
from ..tank.tank import Tank

Kind = Literal["H", "L", "D", "S", "W", "C"]
_BUDGET_ENDS: Final = ("livelock", "overrun")

KINDS: Final[dict[Kind, str]] = {
    "H": "hang",
    "L": "livelock",
    "D": "lost or doubled item",
    "S": "storm or needless slowness",
    "W": "wrong value",
    "C": "counter leak",
}

Program = Callable[[Tank], Any]

Variant = TypeVar("Variant")


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Specimen:
    """A small processor with one known bug, its correct twin, and how a search tells them apart.

    `row` is the bug's number in the museum: variants of one bug share it, and a new bug has the next one.
    `story` says what goes wrong and `seen` where it shipped. `items` is how many items both programs
    process. The buggy one fails the check `check` with a failure of the kind `failure` (`Run.kind`); the
    twin passes. `max_virtual_seconds` is the budget of a run whose hang could otherwise go on for a day.
    With `interrupt` a search interrupts both, after which `resumed` or `twin_resumed` runs if there is one.
    `backends` are `threads` alone for programs that are plain functions. `needs` are modules that both
    import, and the extra of wavetank that brings each.
    """

    name: str
    row: str
    kind: Kind
    story: str
    seen: str
    buggy: Program
    twin: Program
    scenario: str | Scenario
    check: str
    failure: str
    items: int
    backends: tuple[str, ...] = ("asyncio", "trio")
    max_virtual_seconds: float | None = None
    interrupt: bool = False
    resumed: Program | None = None
    twin_resumed: Program | None = None
    needs: Mapping[str, str] = field(default_factory=dict)

    @property
    def missing(self) -> str | None:
        """What is missing here for it to run, and what to install; `None` if nothing is."""
        gone = [name for name in self.needs if find_spec(name) is None]
        if not gone:
            return None
        extras = ",".join(dict.fromkeys(self.needs[name] for name in gone))
        return f"{self.name} needs {' and '.join(gone)}: pip install 'wavetank[{extras}]'"

    def options(self, *, twin: bool = False) -> dict[str, Any]:
        """What a run of the buggy program, or of its `twin`, depends on: options of `simulate`."""
        return {
            "checks": self.checks,
            "max_virtual_seconds": self.max_virtual_seconds,
            "interrupt": self.interrupt,
            "after_interrupt": self.twin_resumed if twin else self.resumed,
        }

    @property
    def checks(self) -> tuple[str, ...]:
        """The checks that judge both programs: the default ones and the one that catches this bug."""
        return ("default", self.check)

    @property
    def found_as(self) -> str:
        """What a search reports of the buggy program: the kind of its hang, or the check that fails."""
        return self.check if self.failure == "check" else self.failure

    def shown_by(self, result: Result[None]) -> bool:
        """Whether a search found the bug by the check and in the way that are on the label.

        Both ways in which a budget of virtual time ends are the same: whether an item gets its answer in
        the second half of it depends on the schedule.
        """
        failure = result.failure
        ways = _BUDGET_ENDS if self.failure in _BUDGET_ENDS else (self.failure,)
        if failure is None or failure.kind not in ways:
            return False
        failed = [verdict.name for verdict in failure.verdicts.values() if verdict.passed is False]
        return failed[:1] == [self.check]

    def search(self, *, twin: bool = False, **options: Any) -> Result[None]:
        """Search the buggy program, or its `twin`; `options` are others of `wavetank.search`.

        Raises:
            ValueError: an argument is out of range.
        """
        return search(
            self.twin if twin else self.buggy,
            self.scenario,
            replay=lambda token: self._again(token, twin),
            **{**self.options(twin=twin), **_on_a_backend(options)},
        )

    def repeat(self, token: str, *, twin: bool = False) -> Result[None]:
        """Repeat one schedule of the buggy program, or of its `twin`.

        Raises:
            Diverged: the run took another course than the one the token was made from.
            TokenError: the token is damaged or belongs to another program.
        """
        run = simulate(
            self.twin if twin else self.buggy,
            self.scenario,
            schedule=token,
            **_on_a_backend({"backend": Schedule.parse(token).backend, **self.options(twin=twin)}),
        )
        return Result.of_one(run, self._again(token, twin))

    def _again(self, token: str, twin: bool) -> str:
        return f"wavetank museum {self.name}{' --twin' if twin else ''} --replay {token}"

    def __repr__(self) -> str:
        return f"<Specimen {self.name}: {KINDS[self.kind]}>"


def _on_a_backend(options: Mapping[str, Any]) -> dict[str, Any]:
    """The options without the backend of a plain function, which has none."""
    return {name: value for name, value in options.items() if (name, value) != ("backend", THREADS)}


def specimen(
    *,
    run: Callable[[Tank, list[str], Any], Any],
    variants: tuple[Variant, Variant],
    items: int | Sequence[str],
    expect: Mapping[str, Any] | None = None,
    resumes: bool = False,
    **label: Any,
) -> Specimen:
    """A specimen whose two programs differ in one thing alone.

    Args:
        run: processes the items of a tank, which are in the ledger already; it is given a variant.
        variants: what the buggy program and its twin are given.
        items: the names of the items, or how many: `item-1`, `item-2`, …
        expect: what both expect of a run, as `tank.expect` takes it.
        resumes: `run` is given what the variant makes, and is interrupted; it runs on with the same then.
        label: the other fields of a `Specimen`.
    """
    names = [f"item-{number}" for number in range(1, items + 1)] if isinstance(items, int) else [*items]

    def programs_of(variant: Any) -> tuple[Program, Program]:
        kept: list[Any] = [variant]

        # A token names the code of its program: that is `run`, not this function.
        @wraps(run)
        def resumed(tank: Tank) -> Any:
            tank.expect(**(expect or {}))
            for name in names:
                tank.ledger.submit(name)
            return run(tank, names, kept[0])

        @wraps(run)
        def program(tank: Tank) -> Any:
            if resumes:
                kept[0] = variant()
            return resumed(tank)

        return program, resumed

    (buggy, resumed), (twin, twin_resumed) = map(programs_of, variants)
    if resumes:
        label |= {"interrupt": True, "resumed": resumed, "twin_resumed": twin_resumed}
    return Specimen(buggy=buggy, twin=twin, items=len(names), **label)
