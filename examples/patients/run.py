"""Run released packages under the catalogue, print what each of them does, and write it to a page."""

from __future__ import annotations

import importlib
import logging
import platform
import sys
from collections.abc import Iterator
from datetime import date
from importlib.metadata import version
from pathlib import Path

from batch import ITEMS, UNDER_WAY, Patient, process
from ideal import ideal

import wavetank
from wavetank import Run
from wavetank.scenario import load_scenario

# Scenarios that refuse requests of any batch by waves and barriers, and one that refuses none. The ideal
# client looks only at waves, so it would be no ideal in the others; and a page of all would be too long.
SCENARIOS = ("calm", "cascade", "mixed", "overloaded", "simultaneous")
PAGE = Path(__file__).parents[2] / "docs" / "patients.md"
MODULES = (
    "openai_sdk",
    "litellm_router",
    "tenacity_httpx",
    "stamina_httpx",
    "aiolimiter_ahead",
    "pyrate_ahead",
    "langchain_limiter",
)

HEAD = f"""# Patients

Released packages under five scenarios of the catalogue, each set up in the way its documentation shows.
`make patients` installs them, runs this and writes the page; the adapters are in `examples/patients/`.

Every package is given {ITEMS} items, {UNDER_WAY} of which are under way at any instant.
There is one run in FIFO order on asyncio, with seed 0.
It meets the fake at the provider's real URL, in virtual time.
The figures hold for these settings and these scenarios, and say nothing about the packages elsewhere.

- **finished**: items that got their answer; **given up**: the package raised an error instead;
- **lost**: items that came to neither;
- **requests**, and how many of them were **refused**;
- **time**: until every item was finished or given up, and how that compares with the ideal.

The ideal is the same batch by a client that knows when each wave ends and waits until then.
No client can know which requests a share or a barrier will refuse: there it waits for the Retry-After.
A package that gives up early, or sends again before the Retry-After is over, may well be faster.
"""


def found() -> tuple[list[Patient], dict[str, str]]:
    """The patients whose packages can be imported, and by module why others cannot."""
    patients: list[Patient] = []
    missing: dict[str, str] = {}
    for module in MODULES:
        try:
            patients += importlib.import_module(module).PATIENTS
        except ImportError as error:
            missing[module] = str(error)
    return patients, missing


def examined(patient: Patient, scenario: str) -> Run[None]:
    """One run of a patient."""
    return wavetank.simulate(lambda tank: process(tank, patient), scenario)


def row(name: str, run: Run[None], best: float) -> str:
    """The figures of a run, as a row of a table."""
    log = run.events
    finished, failed = len(log.of("completed")), len(log.of("failed"))
    lost = ITEMS - finished - failed
    seconds = f"{run.virtual_seconds:.1f} s" if run.kind is None else f"did not end: {run.kind}"
    figures = (finished, failed, lost, len(log.of("arrived")), len(log.of("refused")), seconds)
    against = f"{run.virtual_seconds / best:.2f}"
    return f"| {name} | {' | '.join(map(str, figures))} | {against} |"


def tables(patients: list[Patient]) -> Iterator[str]:
    """A table for each scenario."""
    for name in SCENARIOS:
        best = wavetank.simulate(lambda tank: process(tank, ideal(tank)), name)
        yield f"## {load_scenario(name).title}\n"
        yield f"{load_scenario(name).story}\n"
        yield "| patient | finished | given up | lost | requests | refused | time | against the ideal |"
        yield "|---|---|---|---|---|---|---|---|"
        yield row("*the ideal*", best, best.virtual_seconds)
        for patient in patients:
            yield row(patient.name, examined(patient, name), best.virtual_seconds)
        yield ""


def settings(patients: list[Patient], missing: dict[str, str]) -> Iterator[str]:
    """The releases and settings of the patients, and the reasons why others are missing."""
    yield f"{date.today().isoformat()}, Python {platform.python_version()}, wavetank {version('wavetank')}.\n"
    yield "| patient | releases | settings |"
    yield "|---|---|---|"
    for patient in patients:
        releases = ", ".join(f"{package} {version(package)}" for package in patient.packages)
        yield f"| {patient.name} | {releases} | {patient.settings} |"
    for module, reason in missing.items():
        yield f"| {module} | did not install | {reason} |"
    yield ""


def main() -> int:
    """Write the page and print it."""
    logging.disable(logging.CRITICAL)
    patients, missing = found()
    page = "\n".join([HEAD, *settings(patients, missing), *tables(patients)]).rstrip() + "\n"
    PAGE.write_text(page, encoding="utf-8")
    print(page)
    return 0


if __name__ == "__main__":
    sys.exit(main())
