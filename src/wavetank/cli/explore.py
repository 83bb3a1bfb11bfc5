"""`wavetank explore`: search explored tests for a failing schedule, for a long time."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Final

from ..arguments import count, seconds, seed
from .common import CommandError, check_folders, print_json

_PRINTED: Final = Path("-")
"""For --json without a file."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command to a parser, and what it does."""
    parser.add_argument("tests", nargs="+", metavar="TEST", help="paths or ids, as pytest takes them")
    parser.add_argument(
        "--schedules", type=count, metavar="N", help="for each test (default 10000, or none with --seconds)"
    )
    parser.add_argument("--seconds", type=seconds, metavar="S", help="real time for all tests together")
    parser.add_argument(
        "-n",
        dest="processes",
        metavar="N",
        help="processes: auto (default) for one on each core, or a number",
    )
    parser.add_argument(
        "--on", metavar="ENGINE", help="make the schedules on dask://HOST:PORT, ray or ray://HOST:PORT"
    )
    parser.add_argument("--policy", metavar="NAME", help="overrides that of the test, as do the next options")
    parser.add_argument("--level", metavar="NAME", help="which plan a search may use")
    parser.add_argument("--seed", type=seed, metavar="N", help="seed of the keyed picks and of the policy")
    parser.add_argument(
        "--scenario", action="append", default=[], metavar="NAME|PATH", help="as --llm-scenario"
    )
    parser.add_argument("--resume", action="store_true", help="go on where the last campaign was left")
    parser.add_argument("--state", metavar="DIR", help="where it is kept (default .wavetank in the rootdir)")
    parser.add_argument(
        "--html",
        type=Path,
        metavar="FILE",
        help="write a page of the campaign, and timelines of failures beside it",
    )
    parser.add_argument(
        "--json",
        type=_json_file,
        nargs="?",
        const=_PRINTED,
        metavar="FILE.json",
        help="write the report as JSON; without a file, print it and nothing else",
    )
    parser.add_argument("--junit", type=Path, metavar="FILE", help="write the report as JUnit XML")
    parser.add_argument(
        "--compare", type=Path, metavar="OLD.json", help="say what has changed since a report that was kept"
    )
    parser.set_defaults(command=_run)


def _json_file(text: str) -> Path:
    # A test that stands behind --json would be overwritten.
    if not text.endswith(".json"):
        raise argparse.ArgumentTypeError(
            f"{text}: give a file that ends in .json, or --json as the last word"
        )
    return Path(text)


def _run(options: argparse.Namespace) -> int:
    from ..campaign.campaign_options import (
        DEFAULT_SCHEDULES,
        CampaignError,
        CampaignOptions,
        check,
        process_count,
    )
    from ..campaign.driver import explore
    from ..campaign.protocol import SearchOverrides

    check_folders(options, "html", "json", "junit")
    schedules = options.schedules
    if schedules is None and options.seconds is None:
        schedules = DEFAULT_SCHEDULES
    overrides = SearchOverrides(options.policy, options.level, options.seed, tuple(options.scenario))
    try:
        campaign = CampaignOptions(
            tests=options.tests,
            schedules=schedules,
            seconds=options.seconds,
            processes=process_count(options.processes),
            overrides=overrides,
            resume=options.resume,
            folder=Path(options.state) if options.state is not None else None,
            page=options.html,
            json=None if options.json is _PRINTED else options.json,
            junit=options.junit,
            compare=options.compare,
            engine=options.on,
        )
        check(overrides)
        return explore(campaign, print_json if options.json is _PRINTED else None)
    except CampaignError as error:
        raise CommandError(str(error), status=2) from None
