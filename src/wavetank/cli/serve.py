"""`wavetank serve`: answer on this machine, in real time, and judge the clients."""

from __future__ import annotations

import argparse
import os
import sys
from typing import TYPE_CHECKING, Final

from ..arguments import seed
from .common import CommandError, load

if TYPE_CHECKING:
    import ssl
    from collections.abc import Mapping

    from ..provider.host_rules import HostRule
    from ..tank.expectations import Value
    from ..tank.server.served_run import RunSettings
    from ..tank.server.served_world import Serving

DEFAULT_PORT: Final = 8429
"""Always the same, so that a base URL can be written down. Ports above 1023 need no rights, and those
below 32768 are not handed out by the system for other connections."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command to a parser, and what it does."""
    parser.add_argument(
        "scenario", nargs="?", metavar="SCENARIO", help="a name of the catalogue or a path to a .toml file"
    )
    parser.add_argument("--scenario", dest="named", metavar="SCENARIO", help="the same, as an option")
    parser.add_argument("--host", type=_host, default="127.0.0.1", help="address (default 127.0.0.1)")
    parser.add_argument(
        "--port", type=_port, help=f"default {DEFAULT_PORT}, or any free one for a command; 0: any free one"
    )
    parser.add_argument(
        "--llm-host",
        action="append",
        default=[],
        type=_answered,
        metavar="HOST=DIALECT",
        help="know this Host header, too, such as llm-gateway.corp.example=openai; repeat it for several",
    )
    parser.add_argument("--seed", type=seed, default=0, help="seed of the keyed picks (default 0)")
    parser.add_argument(
        "--start",
        choices=("first-request", "now"),
        default="first-request",
        help="when the scenario's time begins (default first-request)",
    )
    parser.add_argument(
        "--checks", default="default", help="what to judge: names with commas, default or strict"
    )
    parser.add_argument(
        "--expect",
        action="append",
        default=[],
        type=_expectation,
        metavar="NAME=VALUE",
        help="what a correct client does, such as failed=0 or within=10m; repeat it for several",
    )
    parser.add_argument(
        "--journal", metavar="FILE", help="write events to this new file and keep none in memory"
    )
    parser.add_argument("--tls-cert", metavar="FILE", help="serve HTTPS with this certificate chain (PEM)")
    parser.add_argument("--tls-key", metavar="FILE", help="its private key, if it is in another file")
    parser.set_defaults(command=_run)
    parser.epilog = (
        "After -- may come a command, such as -- npm test: it is run with the address in WAVETANK_URL, "
        "OPENAI_BASE_URL and the like, and the server ends with it. The exit status is the command's if "
        "that is not 0, else 1 if a check failed or no request came."
    )


_USUAL_COLUMNS: Final = 80
"""Where the terminal does not say how wide it is."""


def _port(text: str) -> int:
    if not text.isdecimal() or int(text) > 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is no port: give a whole number from 0 to 65535")
    return int(text)


def _host(text: str) -> str:
    if not text.strip():
        raise argparse.ArgumentTypeError("an empty address: leave --host out for 127.0.0.1")
    return text


def _answered(text: str) -> HostRule:
    from ..provider.host_rules import written_rule

    try:
        return written_rule(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _expectation(text: str) -> tuple[str, Value]:
    from ..tank.expectations import read

    name, equals, value = text.partition("=")
    if not equals:
        raise argparse.ArgumentTypeError(f"{text!r}: write NAME=VALUE, such as failed=0")
    return name.strip(), read(value)


def _run(options: argparse.Namespace) -> int:
    from pathlib import Path

    from ..provider.host_patterns import is_loopback
    from ..provider.host_rules import configure_host
    from ..tank.server.server_process import Service

    settings, tls = _settings(options), _tls(options)
    command = _command(options)
    if not is_loopback(options.host):
        print(_REACHABLE.format(host=options.host), file=sys.stderr)
    for rule in options.llm_host:
        configure_host(rule)
    if options.port is None:
        options.port = 0 if command else DEFAULT_PORT
    service = Service(
        settings=settings,
        host=options.host,
        port=options.port,
        journal=Path(options.journal) if options.journal is not None else None,
        tls=tls,
        command=command,
        opened=lambda port: _announce(options, settings.scenario.name, port),
        tick=_show_status if sys.stderr.isatty() and not command else lambda _: None,
    )
    try:
        serving, status = service.run()
    except FileExistsError:
        text = f"there is a {options.journal} already: give --journal another name, or remove it"
        raise CommandError(text) from None
    except OSError as error:
        raise CommandError(_cannot_serve(options, error)) from None
    judged = _summarise(serving, for_command=bool(command))
    return status or judged


def _settings(options: argparse.Namespace) -> RunSettings:
    from ..checks import UnknownCheck, named
    from ..tank.expectations import expected
    from ..tank.server.served_run import RunSettings

    name = options.named or options.scenario
    if name is None:
        raise CommandError(
            "name a scenario: `wavetank serve cascade`; `wavetank scenarios` lists them", status=2
        )
    if options.scenario not in (None, name):
        text = f"one server plays one scenario, not {options.scenario} and {name}: name it once"
        raise CommandError(text, status=2)
    try:
        named(options.checks)
        expects = expected(dict(options.expect), {})
    except (UnknownCheck, TypeError, ValueError) as error:
        raise CommandError(str(error), status=2) from None
    return RunSettings(
        scenario=load(name),
        seed=options.seed,
        checks=options.checks,
        expects=expects,
        starts_now=options.start == "now",
    )


def _command(options: argparse.Namespace) -> tuple[str, ...]:
    import shutil

    command: tuple[str, ...] = tuple(options.after_dashes)
    if command and shutil.which(command[0]) is None:
        raise CommandError(f"there is no command {command[0]!r}: name a program behind --", status=127)
    return command


_REACHABLE: Final = (
    "wavetank: warning: on {host} every machine on the network can send requests to this server; "
    "leave --host out to serve this machine only"
)


def _tls(options: argparse.Namespace) -> ssl.SSLContext | None:
    if options.tls_cert is None:
        if options.tls_key is not None:
            raise CommandError("--tls-key needs its certificate: add --tls-cert FILE", status=2)
        return None
    import ssl

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        context.load_cert_chain(options.tls_cert, options.tls_key)
    except (OSError, ssl.SSLError) as error:
        text = (
            f"cannot read the certificate {options.tls_cert}: {error}; give PEM files, the key by --tls-key"
        )
        raise CommandError(text) from None
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


_THIS_MACHINE: Final = {"0.0.0.0": "127.0.0.1", "::": "::1"}
"""Where clients of this machine find a server that listens on all its addresses."""


def _announce(options: argparse.Namespace, scenario: str, port: int) -> Mapping[str, str]:
    """Print where the server is; the environment of the command."""
    name = _THIS_MACHINE.get(options.host, options.host) if options.after_dashes else options.host
    host = f"[{name}]" if ":" in name else name
    address = f"{'http' if options.tls_cert is None else 'https'}://{host}:{port}"
    if options.after_dashes:
        print(f"wavetank: {scenario}, seed {options.seed}, on {address}", file=sys.stderr, flush=True)
        return environment(address, name)
    print(f"wavetank: {scenario}, seed {options.seed}, on {address} (Ctrl-C ends it)")
    print(f"  OpenAI clients:    base_url={address}/v1")
    print(f"  Anthropic clients: base_url={address}")
    pages = ", ".join(f"{address}/_wavetank/{page}" for page in ("verdict", "events", "timeline"))
    print(f"  verdict, events:   {pages}", flush=True)
    return {}


def environment(address: str, host: str) -> Mapping[str, str]:
    """This process's environment, and in it the address under each name from which a client reads it.

    Keys that are unset are dummies, and no proxy comes between.
    """
    from ..provider.vendor_registry import cards
    from ..seams.installed import NO_PROXY, dummy_keys

    addresses = {name: address + path for card in cards() for name, path in card.url_variables.items()}
    no_proxy = {name: ",".join(filter(None, (os.environ.get(name), host))) for name in NO_PROXY}
    return dummy_keys() | dict(os.environ) | addresses | no_proxy | {"WAVETANK_URL": address}


def _show_status(serving: Serving) -> None:
    """Overwrite one line of the terminal; it must not wrap, or its first half would stay."""
    desk = serving.run.desk
    line = f"in flight {desk.in_flight} · answered {desk.answered} · refused {desk.refused}"
    columns = os.get_terminal_size(sys.stderr.fileno()).columns or _USUAL_COLUMNS
    print(f"\r{line[: columns - 1]}\x1b[K", end="", file=sys.stderr, flush=True)


def _summarise(serving: Serving, *, for_command: bool) -> int:
    """Print what became of the runs; the exit status."""
    from ..checks.verdict import failed_of, in_words

    if sys.stderr.isatty():
        print("\r\x1b[K", end="", file=sys.stderr)
    desk, runs = serving.run.desk, serving.judgements
    where = sys.stderr if for_command else sys.stdout
    if desk.count:
        most = f"at most {desk.peak_in_flight} in flight"
        last = "" if len(runs) == 1 else f" in run {len(runs)}"
        print(f"wavetank: {desk.count} requests{last}, {desk.refused} refused, {most}", file=where)
    for number, judged in enumerate(runs, start=1):
        which = "" if len(runs) == 1 else f"run {number}: "
        if judged.passed is False:
            print(f"wavetank: {which}{in_words(failed_of(judged.checks.values()))}", file=where)
        if judged.warning is not None:
            print(f"wavetank: {which}{judged.warning}", file=where)
    if for_command and not serving.requests:
        print(_NO_REQUEST, file=where)
        return 1
    outcomes = [judged.passed for judged in runs]
    if True in outcomes and False not in outcomes:
        print(f"wavetank: passed ({', '.join(_judged(serving))})", file=where)
    elif False not in outcomes and serving.requests:
        print(_NOT_JUDGED, file=where)
    return int(False in outcomes)


def _judged(serving: Serving) -> dict[str, None]:
    """The checks that could be judged, of all runs."""
    verdicts = (verdict for judged in serving.judgements for verdict in judged.checks.values())
    return {verdict.name: None for verdict in verdicts if verdict.passed is not None}


_NOT_JUDGED: Final = (
    "wavetank: nothing was judged: enter the items in the ledger (POST /_wavetank/items), or say what you "
    "expect (--expect refused=10)"
)
_NO_REQUEST: Final = (
    "wavetank: failed: no request came; give the clients of the command the address in WAVETANK_URL"
)
