"""`wavetank ctl`: change a run while it works."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from pathlib import Path

from .common import CommandError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command to a parser, and what it does."""
    from ..run.run_arguments import add_bounds, add_rates

    parser.add_argument("run", metavar="RUN", type=Path, help="the file that was given to --journal")
    add_rates(parser.add_argument_group("pace"), parallel=None)
    add_bounds(parser.add_argument_group("bounds, counted from the start of the run"), max_outage=None)
    parser.set_defaults(command=_change)


def _change(options: argparse.Namespace) -> int:
    from ..run.command_options import each_once
    from ..run.control import BoundName, ControlRequest, LimitName, new_id, send_request
    from ..run.run_errors import RunError

    bounds: dict[BoundName, int | float | None] = {
        "seconds": options.max_seconds,
        "requests": options.max_requests,
        "tokens": options.max_total_tokens,
        "cost": options.max_cost,
    }
    outage = options.max_outage
    try:
        rates: dict[LimitName, Mapping[str, float]] = {
            "requests_per_minute": each_once("--rate", options.rate),
            "tokens_per_minute": each_once("--token-rate", options.token_rate),
        }
        request = ControlRequest(
            id=new_id(),
            parallel=options.parallel,
            rates={name: dict(values) for name, values in rates.items() if values},
            bounds={name: value for name, value in bounds.items() if value is not None},
            # JSON has no infinity.
            max_outage_seconds=None if outage is None else min(outage, sys.float_info.max),
        )
        print(send_request(options.run, request))
    except RunError as error:
        raise CommandError(str(error), status=2) from None
    return 0
