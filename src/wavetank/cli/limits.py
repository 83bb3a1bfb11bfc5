"""`wavetank limits`: list what providers allow, or show it for one model and tier."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from .common import CommandError, add_json, limit_number, print_json

if TYPE_CHECKING:
    from ..limits import Allowance

_SHORT: Final = {
    "requests_per_second": "requests/s",
    "requests_per_minute": "requests/min",
    "requests_per_day": "requests/day",
    "input_tokens_per_minute": "tokens in/min",
    "output_tokens_per_minute": "tokens out/min",
    "tokens_per_minute": "tokens/min",
    "tokens_per_day": "tokens/day",
    "tokens_per_month": "tokens/month",
    "concurrent": "at once",
    "batch_queue_tokens": "tokens in batches",
    "batch_queue_requests": "requests in batches",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command to a parser, and what it does."""
    parser.add_argument(
        "name",
        nargs="?",
        default="",
        metavar="NAME",
        help="openai, openai/gpt-4o-mini, openai/gpt-4o-mini/tier-1, a .toml file of yours, or a log to read "
        "limits from",
    )
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        type=limit_number,
        metavar="LIMIT=N",
        help="another number, such as requests_per_minute=1000; repeat it for several",
    )
    add_json(parser)
    parser.set_defaults(command=_run)


def _run(options: argparse.Namespace) -> None:
    from ..limits import LimitsError, listed_limits, load_limits

    path = Path(options.name)
    if options.name and path.suffix != ".toml" and path.is_file():
        _show_learned(path, as_json=options.json)
        return
    try:
        if options.set:
            found = [load_limits(options.name, overrides=dict(options.set))]
        else:
            found = list(listed_limits(options.name))
    except LimitsError as error:
        raise CommandError(str(error), status=2) from None
    if options.json:
        print_json({"limits": [_as_json(each) for each in found]})
    elif len(found) == 1:
        print(*_details(found[0]), sep="\n")
    else:
        print(*_list(found), sep="\n")


def _list(found: Sequence[Allowance]) -> Iterator[str]:
    width = max(len(each.name) for each in found)
    for each in found:
        numbers = ", ".join(f"{value:,} {_SHORT[name]}" for name, value in each.numbers.items())
        yield f"{each.name:<{width}}  {numbers}"


def _details(found: Allowance) -> Iterator[str]:
    aliases = f" (also {', '.join(found.model.aliases)})" if found.model.aliases else ""
    yield f"{found.name}{aliases}"
    width = max(map(len, _SHORT))
    for name, value in found.numbers.items():
        yield f"  {name:<{width}}  {value:,}{'  (given here)' if name in found.overridden else ''}"
    price = found.price
    if price is not None:
        yield f"  {'price':<{width}}  ${price.input:g} in, ${price.output:g} out for a million tokens"
        if price.batch_input is not None and price.batch_output is not None:
            yield f"  {'price in batches':<{width}}  ${price.batch_input:g} in, ${price.batch_output:g} out"
    for source in found.sources:
        yield f"source: {source.url} ({source.date}{f'; {source.note}' if source.note else ''})"
    for note in (found.tier.note, found.model.note, found.file.note):
        if note:
            yield f"note: {note}"


def _as_json(found: Allowance) -> dict[str, Any]:
    import msgspec

    price = found.price
    return {
        "name": found.name,
        "provider": found.file.provider,
        "model": found.model.name,
        "aliases": list(found.model.aliases),
        "tier": found.tier.name,
        "limits": found.numbers,
        "overridden": list(found.overridden),
        "price": None if price is None else msgspec.to_builtins(price),
        "sources": [msgspec.to_builtins(each) for each in found.sources],
        "notes": [each for each in (found.tier.note, found.model.note, found.file.note) if each],
        "scenario_limits": found.scenario_limits(),
    }


def _show_learned(path: Path, *, as_json: bool) -> None:
    """The limits that explain the refusals of a log."""
    from ..incidents import IncidentError, learn
    from ..incidents.writing import limits_as_toml
    from ..scenario import written

    try:
        learned = learn([path])
    except IncidentError as error:
        raise CommandError(str(error), status=2) from None
    if not learned.limits:
        raise CommandError(
            f"{path}: no limit explains its refusals; `wavetank learn {path}` writes waves", status=2
        )
    if as_json:
        print_json({"limits": [], "scenario_limits": written(learned.scenario)["limit"]})
    else:
        print(*limits_as_toml(learned), sep="\n")
