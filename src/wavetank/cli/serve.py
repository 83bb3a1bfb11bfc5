"""`wavetank serve`: answer on this machine, in real time."""

from __future__ import annotations

import argparse
import os
import sys
from typing import TYPE_CHECKING, Final

from ..arguments import seed
from .common import CommandError, load

if TYPE_CHECKING:
    import ssl

    from ..provider.hosts import HostRule
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
        "--port", type=_port, default=DEFAULT_PORT, help=f"default {DEFAULT_PORT}; 0: any free one"
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
        "--journal", metavar="FILE", help="write events to this new file and keep none in memory"
    )
    parser.add_argument("--tls-cert", metavar="FILE", help="serve HTTPS with this certificate chain (PEM)")
    parser.add_argument("--tls-key", metavar="FILE", help="its private key, if it is in another file")
    parser.set_defaults(command=_run)


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
    from ..provider.hosts import written_rule

    try:
        return written_rule(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _run(options: argparse.Namespace) -> None:
    from pathlib import Path

    from ..provider.host_patterns import is_loopback
    from ..provider.hosts import configure_host
    from ..tank.server.server_process import Service

    name = options.named or options.scenario
    if name is None:
        raise CommandError(
            "name a scenario: `wavetank serve cascade`; `wavetank scenarios` lists them", status=2
        )
    if options.scenario not in (None, name):
        text = f"one server plays one scenario, not {options.scenario} and {name}: name it once"
        raise CommandError(text, status=2)
    scenario, tls = load(name), _tls(options)
    if not is_loopback(options.host):
        print(_REACHABLE.format(host=options.host), file=sys.stderr)
    for rule in options.llm_host:
        configure_host(rule)
    service = Service(
        scenario=scenario,
        seed=options.seed,
        host=options.host,
        port=options.port,
        journal=Path(options.journal) if options.journal is not None else None,
        tls=tls,
        opened=lambda port: _announce(options, scenario.name, port),
        tick=_show_status if sys.stderr.isatty() else lambda _: None,
    )
    try:
        serving = service.run()
    except FileExistsError:
        text = f"there is a {options.journal} already: give --journal another name, or remove it"
        raise CommandError(text) from None
    except OSError as error:
        raise CommandError(_cannot_serve(options, error)) from None
    _summarise(serving)


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


def _announce(options: argparse.Namespace, scenario: str, port: int) -> None:
    host = f"[{options.host}]" if ":" in options.host else options.host
    address = f"{'http' if options.tls_cert is None else 'https'}://{host}:{port}"
    print(f"wavetank: {scenario}, seed {options.seed}, on {address} (Ctrl-C ends it)")
    print(f"  OpenAI clients:    base_url={address}/v1")
    print(f"  Anthropic clients: base_url={address}")
    pages = ", ".join(f"{address}/_wavetank/{page}" for page in ("verdict", "events", "timeline"))
    print(f"  verdict, events:   {pages}", flush=True)


def _show_status(serving: Serving) -> None:
    """Overwrite one line of the terminal; it must not wrap, or its first half would stay."""
    desk = serving.desk
    line = f"in flight {desk.in_flight} · answered {desk.answered} · refused {desk.refused}"
    columns = os.get_terminal_size(sys.stderr.fileno()).columns or _USUAL_COLUMNS
    print(f"\r{line[: columns - 1]}\x1b[K", end="", file=sys.stderr, flush=True)


def _summarise(serving: Serving) -> None:
    desk = serving.desk
    if sys.stderr.isatty():
        print("\r\x1b[K", end="", file=sys.stderr)
    if desk.count:
        most = f"at most {desk.peak_in_flight} in flight"
        print(f"wavetank: {desk.count} requests, {desk.refused} refused, {most}")
