"""The command line: `wavetank serve` and `wavetank scenarios`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from .scenario import Scenario
    from .tank.real import RealWorld

DEFAULT_PORT: Final = 8429


class _Stop(Exception):
    """Something the user has to mend; the text says what."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; the exit status is 0, 1 when it failed, 2 when the words were wrong."""
    options = _parser().parse_args(arguments)
    try:
        options.command(options)
    except _Stop as stop:
        print(f"wavetank: {stop}", file=sys.stderr)
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="wavetank", description="A fake LLM provider with scripted rate limits."
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    server = commands.add_parser("serve", help="answer on this machine, in real time")
    server.add_argument(
        "scenario", metavar="SCENARIO", help="a name of the catalogue or a path to a .toml file"
    )
    server.add_argument("--host", default="127.0.0.1", help="address to listen on (default 127.0.0.1)")
    server.add_argument(
        "--port", type=_port, default=DEFAULT_PORT, help=f"default {DEFAULT_PORT}; 0: any free one"
    )
    server.add_argument("--seed", type=_seed, default=0, help="seed of the keyed picks (default 0)")
    server.add_argument("--backend", choices=("asyncio", "trio"), default="asyncio", help=argparse.SUPPRESS)
    server.set_defaults(command=_serve)
    catalogue = commands.add_parser("scenarios", help="list the catalogue")
    catalogue.set_defaults(command=_scenarios)
    return parser


def _port(text: str) -> int:
    if not text.isdecimal() or int(text) > 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is no port: give a whole number from 0 to 65535")
    return int(text)


def _seed(text: str) -> int:
    if not text.isdecimal() or int(text) >= 1 << 64:
        raise argparse.ArgumentTypeError(f"{text!r} is no seed: give a whole number from 0 to 2**64 - 1")
    return int(text)


def _load(name: str) -> Scenario:
    from .scenario import ScenarioError, load_scenario

    try:
        return load_scenario(name)
    except ScenarioError as error:
        raise _Stop(str(error)) from None


def _scenarios(_: argparse.Namespace) -> None:
    from .scenario import catalogue

    names = catalogue()
    width = max(map(len, names))
    for name in names:
        scenario = _load(name)
        print(f"{name:<{width}}  {scenario.title}: {scenario.story}")


def _serve(options: argparse.Namespace) -> None:
    import anyio

    from .tank.real import RealWorld

    world = RealWorld(_load(options.scenario), seed=options.seed)
    try:
        anyio.run(_answer, world, options.host, options.port, backend=options.backend)
    except BaseExceptionGroup as errors:
        cause = _only(errors)
        if isinstance(cause, OSError):
            raise _Stop(_cannot_listen(options, cause)) from None
        if not isinstance(cause, KeyboardInterrupt):
            raise
    except KeyboardInterrupt:
        pass
    finally:
        world.close()
        _tell(world)


def _only(error: BaseException) -> BaseException:
    """The one error in nested groups of one."""
    while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    return error


def _cannot_listen(options: argparse.Namespace, error: OSError) -> str:
    return (
        f"cannot listen on {options.host}:{options.port}: {error}. Is another server running there? "
        "Choose another --port, or 0 for any free one"
    )


async def _answer(world: RealWorld, host: str, port: int) -> None:
    import anyio

    from .seams.loopback import serve

    async with anyio.create_task_group() as group:
        bound = await group.start(
            lambda *, task_status: serve(world.parts.desk, host=host, port=port, task_status=task_status)
        )
        address = f"http://{host}:{bound}"
        log = world.parts.log.header
        print(f"wavetank: {log.scenario}, seed {log.seed}, on {address} (Ctrl-C ends it)")
        print(f"  OpenAI clients:    base_url={address}/v1")
        print(f"  Anthropic clients: base_url={address}", flush=True)


def _tell(world: RealWorld) -> None:
    desk, log = world.parts.desk, world.parts.log
    if desk.records:
        print(
            f"wavetank: {len(desk.records)} requests, {len(log.of('refused'))} refused, "
            f"at most {desk.peak_in_flight} in flight"
        )


if __name__ == "__main__":
    sys.exit(main())
