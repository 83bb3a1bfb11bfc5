"""`wavetank museum`: list the specimens, or search for the bug of one."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ..arguments import count, seed
from ..text import did_you_mean
from .common import CommandError, add_json, print_json, write_file

if TYPE_CHECKING:
    from ..tank.runs.finished_run import Run


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command to a parser, and what it does."""
    parser.add_argument("specimen", nargs="?", metavar="NAME", help="search this one and its correct twin")
    parser.add_argument("--backend", choices=("asyncio", "trio"), default="asyncio", help="default asyncio")
    parser.add_argument("--schedules", type=count, default=1000, metavar="N", help="at most (default 1000)")
    parser.add_argument(
        "--seed", type=seed, default=0, metavar="N", help="seed of picks and policy (default 0)"
    )
    parser.add_argument("--twin", action="store_true", help="only the twin")
    parser.add_argument("--replay", metavar="TOKEN", help="repeat one schedule instead")
    parser.add_argument(
        "--html", type=Path, metavar="FILE", help="write the timeline of the failure to this file"
    )
    add_json(parser)
    parser.set_defaults(command=_run)


def _run(options: argparse.Namespace) -> int:
    from ..museum import SPECIMENS
    from ..museum.tour import label, listing

    if options.specimen is None:
        if options.replay or options.twin or options.html is not None:
            raise CommandError(
                "name the specimen to repeat, to search or to draw; `wavetank museum` lists them", status=2
            )
        if options.json:
            print_json({"specimens": [label(each) for each in SPECIMENS.values()]})
        else:
            print(*listing(SPECIMENS.values()), sep="\n")
        return 0
    if options.specimen not in SPECIMENS:
        raise CommandError(_unknown(options.specimen, SPECIMENS), status=2)
    if (missing := SPECIMENS[options.specimen].missing) is not None:
        raise CommandError(missing, status=2)
    return _repeat(options) if options.replay else _search(options)


def _search(options: argparse.Namespace) -> int:
    """Search the buggy program, unless only the twin is wanted, and then its twin; 1 if a result is wrong."""
    from ..museum import SPECIMENS
    from ..museum.tour import as_labelled, label, label_lines, result_lines, values

    specimen, right = SPECIMENS[options.specimen], True
    searches, failures = [], []
    if not options.json:
        print(*label_lines(specimen), sep="\n", flush=True)
    for twin in (True,) if options.twin else (False, True):
        result = specimen.search(
            twin=twin, backend=options.backend, schedules=options.schedules, seed=options.seed
        )
        right = right and as_labelled(specimen, result, twin=twin)
        searches.append(values(result, twin=twin))
        failures.append(result.failure)
        if not options.json:
            print("", *result_lines(specimen, result, twin=twin), sep="\n", flush=True)
    _write_page(options, failures)
    if options.json:
        print_json({"specimen": label(specimen), "searches": searches, "as_labelled": right})
    return int(not right)


def _repeat(options: argparse.Namespace) -> int:
    from ..museum import SPECIMENS
    from ..museum.tour import as_labelled, label, result_lines, values
    from ..sim.token import TokenError
    from ..tank.failure import Diverged

    specimen, twin = SPECIMENS[options.specimen], options.twin
    try:
        result = specimen.repeat(options.replay, twin=twin)
    except (Diverged, TokenError) as error:
        raise CommandError(str(error)) from None
    _write_page(options, [result.failure])
    if options.json:
        right = as_labelled(specimen, result, twin=twin)
        print_json(
            {"specimen": label(specimen), "searches": [values(result, twin=twin)], "as_labelled": right}
        )
    else:
        print(*result_lines(specimen, result, twin=twin), sep="\n")
    return int(result.failure is not None)


def _write_page(options: argparse.Namespace, failures: Sequence[Run[None] | None]) -> None:
    """Write the timeline of the first failure, if one is wanted; say so where there is none."""
    if options.html is None:
        return
    failure = next((each for each in failures if each is not None), None)
    if failure is None:
        print(f"wavetank: nothing failed, so {options.html} was not written", file=sys.stderr)
        return
    from ..report.page import timeline_page

    write_file(options.html, timeline_page(failure.logs(options.specimen)))
    if not options.json:
        print(f"\ntimeline: {options.html}")


def _unknown(name: str, names: Iterable[str]) -> str:
    meant = did_you_mean(name, names) or "`wavetank museum` lists them"
    return f"there is no specimen {name!r} in the museum; {meant}"
