"""The command line: `wavetank run`, `journal`, `serve`, `scenarios`, `explore` and `museum`."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Final

from . import __version__
from .arguments import Parser, count, seed
from .shown import shortened

if TYPE_CHECKING:
    import ssl

    from .scenario import Scenario
    from .tank.serving import Serving

DEFAULT_PORT: Final = 8429
LONGEST_ERROR: Final = 4000
"""Characters of an error, which may repeat what somebody else wrote."""
WIDEST: Final = 110
"""Columns of a drawing, also where the terminal has more."""


class _Stop(Exception):
    """Something the user has to mend; the text says what."""

    def __init__(self, text: str, *, status: int = 1) -> None:
        super().__init__(text)
        self.status = status


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; the exit status is 0, 1 when it failed, 2 when the words were wrong."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    options = _parser(words[0] if words else "").parse_args(words)
    options.words = words
    try:
        return options.command(options) or 0
    except _Stop as stop:
        print(f"wavetank: {shortened(str(stop), LONGEST_ERROR)}", file=sys.stderr)
        return stop.status
    except BrokenPipeError:  # of `| head`, which has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1


def _parser(asked: str) -> argparse.ArgumentParser:
    """All commands by name, and the words of the one that is asked for: each imports what its words need."""
    parser = Parser(prog="wavetank", description="A fake LLM provider with rate limits.")
    parser.add_argument("--version", action="version", version=f"wavetank {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for name, help, add in (
        ("run", "put a table of prompts to a provider, and resume it", _add_run),
        ("journal", "say what the journal of a run holds, also while it runs", _add_journal),
        ("serve", "answer on this machine, in real time", _add_serve),
        ("scenarios", "list the catalogue, or draw a scenario", _add_scenarios),
        ("explore", "search explored tests for a failing schedule, for long", _add_explore),
        ("museum", "list the bugs of the museum, or see one happen", _add_museum),
    ):
        command = commands.add_parser(name, help=help)
        if name == asked:
            add(command)
    return parser


def _add_scenarios(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("scenario", nargs="?", metavar="NAME|PATH", help="draw this one")
    _add_json(parser)
    parser.set_defaults(command=_scenarios)


def _add_json(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print one JSON document, and nothing else")


def _print_json(document: object) -> None:
    """Write a document to the standard output; a lone surrogate becomes the escape that JSON has for it."""
    import json

    text = json.dumps(document, indent=2, ensure_ascii=False) + "\n"
    print(text.encode("utf-8", "backslashreplace").decode(), end="", flush=True)


def _add_run(parser: argparse.ArgumentParser) -> None:
    from .run.run_arguments import add_arguments

    add_arguments(parser)
    parser.set_defaults(command=_run)


def _add_journal(parser: argparse.ArgumentParser) -> None:
    from .run.journal_report import add_arguments

    add_arguments(parser)


def _add_serve(parser: argparse.ArgumentParser) -> None:
    told = "a name of the catalogue or a path to a .toml file"
    parser.add_argument("scenario", nargs="?", metavar="SCENARIO", help=told)
    parser.add_argument("--scenario", dest="named", metavar="SCENARIO", help="the same, as an option")
    parser.add_argument("--host", type=_host, default="127.0.0.1", help="address (default 127.0.0.1)")
    parser.add_argument(
        "--port", type=_port, default=DEFAULT_PORT, help=f"default {DEFAULT_PORT}; 0: any free one"
    )
    parser.add_argument("--seed", type=seed, default=0, help="seed of the keyed picks (default 0)")
    parser.add_argument("--journal", metavar="FILE", help="write events to this new file and keep none")
    parser.add_argument("--tls-cert", metavar="FILE", help="serve HTTPS with this certificate chain (PEM)")
    parser.add_argument("--tls-key", metavar="FILE", help="its private key, if it is in another file")
    parser.set_defaults(command=_serve)


def _add_explore(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("tests", nargs="+", metavar="TEST", help="paths or ids, as pytest takes them")
    parser.add_argument(
        "--schedules", type=count, metavar="N", help="for each test (default 10000, or none with --seconds)"
    )
    parser.add_argument("--seconds", type=_seconds, metavar="S", help="real time for all tests together")
    parser.add_argument(
        "-n", dest="processes", metavar="N", help="processes, by pytest-xdist: auto (default), or 0 for none"
    )
    parser.add_argument("--policy", metavar="NAME", help="overrides the test's own, as does the rest")
    parser.add_argument("--level", metavar="NAME", help="which orders a search may use")
    parser.add_argument("--seed", type=seed, metavar="N", help="seed of the keyed picks and of the policy")
    parser.add_argument(
        "--scenario", action="append", default=[], metavar="NAME|PATH", help="as --llm-scenario"
    )
    parser.add_argument("--resume", action="store_true", help="go on where the last campaign was left")
    parser.add_argument("--state", metavar="DIR", help="where it is kept (default .wavetank in the rootdir)")
    _add_json(parser)
    parser.set_defaults(command=_explore)


def _add_museum(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("specimen", nargs="?", metavar="NAME", help="search this one and its correct twin")
    parser.add_argument("--backend", choices=("asyncio", "trio"), default="asyncio", help="default asyncio")
    parser.add_argument("--schedules", type=count, default=1000, metavar="N", help="at most (default 1000)")
    parser.add_argument(
        "--seed", type=seed, default=0, metavar="N", help="seed of picks and policy (default 0)"
    )
    parser.add_argument("--twin", action="store_true", help="only the twin")
    parser.add_argument("--replay", metavar="TOKEN", help="repeat one schedule instead")
    _add_json(parser)
    parser.set_defaults(command=_museum)


def _port(text: str) -> int:
    if not text.isdecimal() or int(text) > 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is no port: give a whole number from 0 to 65535")
    return int(text)


def _host(text: str) -> str:
    if not text.strip():
        raise argparse.ArgumentTypeError("an empty address: leave --host out for 127.0.0.1")
    return text


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} is no time: give a number of seconds above 0")
    return seconds


def _load(name: str) -> Scenario:
    from .scenario import ScenarioError, load_scenario

    try:
        return load_scenario(name)
    except ScenarioError as error:
        raise _Stop(str(error)) from None


def _scenarios(options: argparse.Namespace) -> None:
    import shutil

    from .scenario import catalogue, digest, written
    from .scenario.drawing import drawn

    if options.json:
        names = catalogue() if options.scenario is None else [options.scenario]
        loaded = map(_load, names)
        shown = [{"name": each.name, "digest": digest(each), **written(each)} for each in loaded]
        _print_json({"scenarios": shown})
        return
    if options.scenario is not None:
        columns = shutil.get_terminal_size().columns
        print(*drawn(_load(options.scenario), width=min(columns, WIDEST)), sep="\n")
        return
    names = catalogue()
    width = max(map(len, names))
    for name in names:
        scenario = _load(name)
        print(f"{name:<{width}}  {scenario.title}: {scenario.story}")


def _run(options: argparse.Namespace) -> int:
    from contextlib import closing

    from .campaign.display import Figures, display_on
    from .run.command import run
    from .run.run_errors import RunError
    from .run.model_list import show_models
    from .run.command_options import read_options
    from .run.rehearsal import rehearse
    from .run.console import ProgressDisplay
    from .scenario import ScenarioError

    try:
        if options.list_models:
            return show_models(options)
        asked = read_options(options)
        with closing(display_on()) as bar:
            shown = ProgressDisplay(lambda done, words: bar.show(Figures(done, words)), bar.say, bar.close)
            if asked.scenario is not None:
                return rehearse(asked, shown)
            return run(asked, options.words[1:], shown)
    except KeyboardInterrupt:
        # Before the run listens for it itself: nothing was sent.
        return 130
    except (RunError, ScenarioError) as error:
        raise _Stop(str(error), status=2) from None


def _explore(options: argparse.Namespace) -> int:
    from pathlib import Path

    from .campaign.asking import DEFAULT_SCHEDULES, Asked, Refused, checked_words, processes
    from .campaign.driving import explore
    from .campaign.state import Words

    schedules = options.schedules
    if schedules is None and options.seconds is None:
        schedules = DEFAULT_SCHEDULES
    words = Words(options.policy, options.level, options.seed, tuple(options.scenario))
    try:
        asked = Asked(
            tests=options.tests,
            schedules=schedules,
            seconds=options.seconds,
            processes=processes(options.processes),
            words=checked_words(words),
            resume=options.resume,
            folder=Path(options.state) if options.state is not None else None,
        )
        return explore(asked, _print_json if options.json else None)
    except Refused as error:
        raise _Stop(str(error), status=2) from None


def _museum(options: argparse.Namespace) -> int:
    from .museum import SPECIMENS
    from .museum.tour import label, listing

    if options.specimen is None:
        if options.replay or options.twin:
            raise _Stop("name the specimen to repeat or to search; `wavetank museum` lists them", status=2)
        if options.json:
            _print_json({"specimens": [label(each) for each in SPECIMENS.values()]})
        else:
            print(*listing(SPECIMENS.values()), sep="\n")
        return 0
    if options.specimen not in SPECIMENS:
        raise _Stop(_unknown(options.specimen, SPECIMENS), status=2)
    return _repeat(options) if options.replay else _visit(options)


def _visit(options: argparse.Namespace) -> int:
    """Search the buggy program, unless only the twin is wanted, and then its twin; 1 if either surprises."""
    from .museum import SPECIMENS
    from .museum.tour import as_labelled, label, label_lines, told, values

    specimen, right = SPECIMENS[options.specimen], True
    searches = []
    if not options.json:
        print(*label_lines(specimen), sep="\n", flush=True)
    for twin in (True,) if options.twin else (False, True):
        result = specimen.search(
            twin=twin, backend=options.backend, schedules=options.schedules, seed=options.seed
        )
        right = right and as_labelled(specimen, result, twin=twin)
        searches.append(values(result, twin=twin))
        if not options.json:
            print("", *told(specimen, result, twin=twin), sep="\n", flush=True)
    if options.json:
        _print_json({"specimen": label(specimen), "searches": searches, "as_labelled": right})
    return int(not right)


def _repeat(options: argparse.Namespace) -> int:
    from .museum import SPECIMENS
    from .museum.tour import as_labelled, label, told, values
    from .sim.token import TokenError
    from .tank.failure import Diverged

    specimen, twin = SPECIMENS[options.specimen], options.twin
    try:
        result = specimen.repeat(options.replay, twin=twin)
    except (Diverged, TokenError) as error:
        raise _Stop(str(error)) from None
    if options.json:
        right = as_labelled(specimen, result, twin=twin)
        _print_json(
            {"specimen": label(specimen), "searches": [values(result, twin=twin)], "as_labelled": right}
        )
    else:
        print(*told(specimen, result, twin=twin), sep="\n")
    return int(result.failure is not None)


def _unknown(name: str, names: Iterable[str]) -> str:
    import difflib

    near = difflib.get_close_matches(name, names, n=1)
    meant = f"did you mean {near[0]!r}?" if near else "`wavetank museum` lists them"
    return f"there is no specimen {name!r} in the museum; {meant}"


def _serve(options: argparse.Namespace) -> None:
    from pathlib import Path

    from .provider.naming import is_loopback
    from .tank.server import Service

    name = options.named or options.scenario
    if name is None:
        raise _Stop("name a scenario: `wavetank serve cascade`; `wavetank scenarios` lists them", status=2)
    if options.scenario not in (None, name):
        text = f"one server plays one scenario, not {options.scenario} and {name}: name it once"
        raise _Stop(text, status=2)
    scenario, tls = _load(name), _tls(options)
    if not is_loopback(options.host):
        print(_OPEN.format(host=options.host), file=sys.stderr)
    service = Service(
        scenario=scenario,
        seed=options.seed,
        host=options.host,
        port=options.port,
        journal=Path(options.journal) if options.journal is not None else None,
        tls=tls,
        opened=lambda port: _announce(options, f"{scenario.name}, seed {options.seed}", port),
        tick=_show_status if sys.stderr.isatty() else lambda _: None,
    )
    try:
        serving = service.run()
    except FileExistsError:
        text = f"there is a {options.journal} already: give --journal another name, or remove it"
        raise _Stop(text) from None
    except OSError as error:
        raise _Stop(_cannot_serve(options, error)) from None
    _tell(serving)


_OPEN: Final = (
    "wavetank: warning: on {host} everybody who reaches this machine over the network may ask; "
    "leave --host out to serve this machine only"
)


def _tls(options: argparse.Namespace) -> ssl.SSLContext | None:
    if options.tls_cert is None:
        if options.tls_key is not None:
            raise _Stop("--tls-key needs its certificate: add --tls-cert FILE", status=2)
        return None
    import ssl

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        context.load_cert_chain(options.tls_cert, options.tls_key)
    except (OSError, ssl.SSLError) as error:
        text = (
            f"cannot read the certificate {options.tls_cert}: {error}; give PEM files, the key by --tls-key"
        )
        raise _Stop(text) from None
    return context


def _cannot_serve(options: argparse.Namespace, error: OSError) -> str:
    if error.filename is not None:
        return f"cannot write the journal {options.journal}: {error.strerror}; name another file"
    import errno
    import socket

    host, port = options.host, options.port
    # asyncio has no number for an address that none of its sockets could take.
    if isinstance(error, socket.gaierror) or error.errno in (None, errno.EADDRNOTAVAIL):
        return (
            f"cannot listen on --host {host}: it is no address of this machine. Leave --host out for "
            "127.0.0.1, or give an address alone, such as 0.0.0.0 for all that this machine has"
        )
    if error.errno == errno.EACCES:
        return f"cannot listen on port {port}: not allowed to. Choose a --port from 1024 on, or 0 for any"
    return (
        f"cannot listen on {host}:{port}: {error.strerror or error}. Is another server "
        "running there? Choose another --port, or 0 for any free one"
    )


def _announce(options: argparse.Namespace, what: str, port: int) -> None:
    host = f"[{options.host}]" if ":" in options.host else options.host
    address = f"{'http' if options.tls_cert is None else 'https'}://{host}:{port}"
    print(f"wavetank: {what}, on {address} (Ctrl-C ends it)")
    print(f"  OpenAI clients:    base_url={address}/v1")
    print(f"  Anthropic clients: base_url={address}")
    print(f"  verdict, events:   {address}/_wavetank/verdict, {address}/_wavetank/events", flush=True)


def _show_status(serving: Serving) -> None:
    """One line on a terminal, written over and over; a line that wraps would be left behind."""
    desk = serving.desk
    line = f"in flight {desk.in_flight} · answered {desk.answered} · refused {desk.refused}"
    columns = os.get_terminal_size(sys.stderr.fileno()).columns or WIDEST
    print(f"\r{line[: columns - 1]}\x1b[K", end="", file=sys.stderr, flush=True)


def _tell(serving: Serving) -> None:
    desk = serving.desk
    if sys.stderr.isatty():
        print("\r\x1b[K", end="", file=sys.stderr)
    if desk.count:
        most = f"at most {desk.peak_in_flight} in flight"
        print(f"wavetank: {desk.count} requests, {desk.refused} refused, {most}")


if __name__ == "__main__":
    sys.exit(main())
