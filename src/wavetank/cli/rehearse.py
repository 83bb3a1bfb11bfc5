"""`wavetank rehearse`: run a program as it is in virtual time, every client meeting the fake provider."""

from __future__ import annotations

import argparse
import re
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

from ..arguments import count, seconds, seed
from ..text import json_document
from .common import CommandError, check_folders, load, write_file

if TYPE_CHECKING:
    from ..rehearsal.job import Rehearsal
    from ..rehearsal.program import Program
    from ..rehearsal.rehearse import Rehearsed
    from ..scenario import Scenario

_USAGE: Final = "wavetank rehearse [OPTIONS] SCRIPT | -m MODULE | MODULE:FUNCTION [-- ARGUMENTS]"
_DEFAULT_SCENARIO: Final = "calm"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command to a parser, and what it does."""
    parser.usage = _USAGE
    parser.add_argument(
        "program",
        nargs="?",
        metavar="SCRIPT",
        help="a script, or a function as package.module:function; its arguments stand behind --",
    )
    parser.add_argument("-m", dest="module", metavar="MODULE", help="run this module, as python -m does")
    parser.add_argument(
        "--scenario",
        default=_DEFAULT_SCENARIO,
        metavar="NAME|PATH",
        help="how the provider behaves (default calm); `wavetank scenarios` lists the catalogue",
    )
    parser.add_argument(
        "--seed", type=seed, default=0, metavar="N", help="seed of random choices (default 0)"
    )
    parser.add_argument(
        "--item-from",
        metavar="REGEX",
        help="what names an item in a prompt: the first group, else the whole match",
    )
    parser.add_argument(
        "--host",
        action="append",
        default=[],
        metavar="HOST[:PORT][/PREFIX]=DIALECT",
        help="let the fake answer for this host, too; repeat it for several",
    )
    parser.add_argument(
        "--paid-per-item",
        type=count,
        default=1,
        metavar="N",
        help="answers that an item may be given to the same question (default 1)",
    )
    parser.add_argument(
        "--max-virtual-seconds",
        type=seconds,
        metavar="S",
        help="stop a program that takes longer (default a day)",
    )
    parser.add_argument(
        "--sandbox",
        type=Path,
        metavar="DIR",
        help="make this folder, or make it again, and run in a copy of the working directory there",
    )
    parser.add_argument(
        "--schedules",
        type=count,
        default=1,
        metavar="N",
        help="try N orders of tasks and threads (default 1)",
    )
    parser.add_argument("--replay", metavar="TOKEN", help="repeat the schedule that a search has found")
    _add_outputs(parser)
    parser.set_defaults(command=_run, on_unknown=lambda _: "the arguments of the program stand behind --")


def _add_outputs(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--html", type=Path, metavar="FILE", help="write the timeline to this file")
    parser.add_argument("--trace", type=Path, metavar="FILE", help="write a trace for Perfetto or speedscope")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the result as JSON to this file")


def _run(options: argparse.Namespace) -> int:
    rehearsal = _read(options)
    result = _rehearsed(rehearsal, options)
    if result.run.value is not None and result.run.value.not_found:
        raise CommandError(result.run.value.not_found, status=2)
    _print(result, rehearsal, options.sandbox)
    _write(result, rehearsal, options)
    return result.status


def _read(options: argparse.Namespace) -> Rehearsal:
    """What to rehearse.

    Raises:
        CommandError: an argument is wrong; the text names it.
    """
    from ..rehearsal.job import Rehearsal

    program = _program(options)
    if options.item_from is not None:
        try:
            re.compile(options.item_from)
        except re.error as error:
            raise CommandError(
                f"--item-from {options.item_from!r} is no regular expression: {error}", status=2
            ) from None
    _check_hosts(options.host)
    check_folders(options, "html", "trace", "json")
    if options.schedules > 1 and (options.sandbox is not None or options.replay is not None):
        other = "--sandbox" if options.sandbox is not None else "--replay"
        raise CommandError(
            f"{other} is for one run, and --schedules makes many, each in a copy of its own: leave one out",
            status=2,
        )
    return Rehearsal(
        program=program,
        scenario=_scenario(options.scenario),
        seed=options.seed,
        item_from=options.item_from,
        hosts=tuple(options.host),
        max_virtual_seconds=options.max_virtual_seconds,
        paid_per_item=options.paid_per_item,
    )


def _program(options: argparse.Namespace) -> Program:
    from ..rehearsal.program import Program

    name, arguments = options.program, tuple(options.after_dashes)
    if (name is None) == (options.module is None):
        raise CommandError(f"name one program: {_USAGE}", status=2)
    if options.module is not None:
        return Program("module", options.module, arguments)
    module, colon, function = name.partition(":")
    if Path(name).exists():
        return Program("script", name, arguments)
    if (
        colon
        and not module.endswith(".py")
        and all(map(str.isidentifier, (*module.split("."), *function.split("."))))
    ):
        return Program("function", name, arguments)
    raise CommandError(f"there is no file {name!r}{_instead(name)}", status=2)


def _instead(name: str) -> str:
    """What to write for a program that is no file."""
    from ..text import did_you_mean

    module, colon, function = name.partition(":")
    if colon and module.endswith(".py"):
        dotted = module.removesuffix(".py").replace("/", ".")
        return f": a function is named by its module, without .py: {dotted}:{function}"
    if not name.endswith(".py") and all(map(str.isidentifier, name.split("."))):
        return f": if it is a module, write -m {name}"
    folder = Path(name).parent
    names = [each.name for each in folder.iterdir()] if folder.is_dir() else []
    return did_you_mean(Path(name).name, names, start=f" in {folder}: ")


def _check_hosts(hosts: list[str]) -> None:
    from ..provider.host_rules import written_rule

    for host in hosts:
        try:
            written_rule(host)
        except ValueError as error:
            raise CommandError(f"--host {host}: {error}", status=2) from None


def _scenario(name: str) -> Scenario:
    try:
        return load(name)
    except CommandError as error:
        raise CommandError(str(error), status=2) from None


def _rehearsed(rehearsal: Rehearsal, options: argparse.Namespace) -> Rehearsed:
    from ..rehearsal.fresh_process import ProcessDied
    from ..rehearsal.rehearse import rehearse, search_schedules
    from ..rehearsal.sandbox import SandboxError
    from ..sim.token import TokenError
    from ..tank.failure import Diverged

    command = partial(_line, rehearsal, options)
    try:
        if options.schedules > 1:
            return search_schedules(rehearsal, command, options.schedules)
        return rehearse(rehearsal, command, replay=options.replay, sandbox=options.sandbox)
    except (ProcessDied, SandboxError, TokenError) as error:
        raise CommandError(str(error), status=2) from None
    except Diverged as error:
        raise CommandError(str(error)) from None
    except KeyboardInterrupt:
        raise CommandError("interrupted", status=130) from None


def _line(rehearsal: Rehearsal, options: argparse.Namespace, token: str | None) -> str:
    """The command that repeats the rehearsal, or one schedule of it, without where its results go."""
    import shlex

    words = ["wavetank", "rehearse", *rehearsal.program.words, "--scenario", options.scenario]
    words += ["--seed", str(options.seed)] if options.seed else []
    words += ["--item-from", options.item_from] if options.item_from is not None else []
    words += [word for host in options.host for word in ("--host", host)]
    words += ["--paid-per-item", str(options.paid_per_item)] if options.paid_per_item != 1 else []
    if options.max_virtual_seconds is not None:
        words += ["--max-virtual-seconds", f"{options.max_virtual_seconds:g}"]
    words += ["--replay", token] if token is not None else []
    words += ["--sandbox", str(options.sandbox)] if options.sandbox is not None else []
    words += ["--", *rehearsal.program.arguments] if rehearsal.program.arguments else []
    return shlex.join(words)


def _print(result: Rehearsed, rehearsal: Rehearsal, folder: Path | None) -> None:
    import sys

    from ..progress import printable
    from ..rehearsal.ending import ending

    end = result.run.value
    if end is not None and end.traceback:
        print(printable(end.traceback, sys.stderr), file=sys.stderr, flush=True)
    what = (
        f"{rehearsal.program.name} in {rehearsal.scenario.name!r} with seed {result.run.events.header.seed}"
    )
    for line in ending(result.run, what, folder=folder):
        print(printable(f"wavetank: {line}"), flush=True)


def _write(result: Rehearsed, rehearsal: Rehearsal, options: argparse.Namespace) -> None:
    """Write the files that the user named."""
    if options.html is not None:
        from ..report.page import timeline_page

        write_file(options.html, timeline_page(result.run.logs(rehearsal.program.name)))
        print(f"wavetank: timeline: {options.html}")
    if options.trace is not None:
        from ..report.trace import trace_json

        write_file(options.trace, trace_json(result.run.logs(rehearsal.program.name)))
    if options.json is not None:
        write_file(options.json, json_document(result.values(rehearsal)))
