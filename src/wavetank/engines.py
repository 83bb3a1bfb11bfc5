"""Where pieces of a long computation are made: processes of this machine, a Dask cluster, or Ray."""

from __future__ import annotations

import os
import pickle
import socket
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Executor, Future
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib import metadata
from importlib.util import find_spec
from platform import python_version
from typing import Any, Final, NamedTuple, final

PATIENCE: Final = 10.0
"""Real seconds in which an engine has to answer: Dask's own limit for a connection is 30 s, in which a user
believes that the command hangs."""

NAMES: Final = "dask://HOST:PORT, ray, or ray://HOST:PORT"


class EngineError(Exception):
    """There is no such engine, or it does not answer; the text says what to do."""


@final
class Versions(NamedTuple):
    """The versions that decide what a call comes to."""

    python: str
    wavetank: str

    @classmethod
    def here(cls) -> Versions:
        """Those of this process."""
        return cls(python_version(), metadata.version("wavetank"))

    def check(self, who: str, wanted: Versions) -> None:
        """Compare these, which `who` has, with those of the command; any patch release of Python fits.

        Raises:
            EngineError: they differ.
        """
        if self.python.split(".")[:2] != wanted.python.split(".")[:2]:
            raise EngineError(
                f"{who} has Python {self.python}, and the command runs on {wanted.python}: runs are the same "
                "only on the same minor version"
            )
        if self.wavetank != wanted.wavetank:
            raise EngineError(
                f"{who} has wavetank {self.wavetank}, and the command {wanted.wavetank}: {_install(wanted)}"
            )


@final
@dataclass(frozen=True, slots=True)
class Engine:
    """Calls functions elsewhere: `slots` says how many at once, and `submit` returns the future of a call.

    A function is called once more if its worker is lost. What it takes and returns is pickled. `name` is
    that of the command line.
    """

    name: str
    slots: Callable[[], int]
    submit: Callable[..., Future[Any]]


def engine_of(executor: Executor, many: int) -> Engine:
    """An executor of this machine that makes so many calls at once."""
    return Engine("this machine", lambda: many, executor.submit)


@contextmanager
def engine_on(name: str) -> Iterator[Engine]:
    """The engine of a name such as `dask://127.0.0.1:8786`, `ray` or `ray://127.0.0.1:10001`.

    Calls that were not made when the block ends are dropped.

    Raises:
        EngineError: the name is wrong, its extra is not installed, it does not answer within ten seconds,
            it has no worker, or one of its workers has another version of wavetank or Python.
    """
    scheme, _, address = name.partition("://")
    if scheme == "dask" and address:
        with _dask(name, f"tcp://{address}") as engine:
            yield engine
    elif scheme == "ray" and (address or name == "ray"):
        with _ray(name) as engine:
            yield engine
    else:
        raise EngineError(f"--on {name}: there is no such engine; give {NAMES}")


def worker_here() -> str:
    """This process as a worker, in messages."""
    return f"{socket.gethostname()}, process {os.getpid()}"


def raised_by(engine: Engine, error: BaseException) -> EngineError:
    """The error to report for one that the function itself did not raise."""
    if isinstance(error, EngineError):
        return error
    if isinstance(error, ModuleNotFoundError) and str(error.name).startswith("wavetank"):
        return EngineError(f"{engine.name}: a worker has no wavetank: {_install()}")
    reason = str(error) or type(error).__name__
    return EngineError(f"{engine.name}: a call was lost with its workers, or the engine is gone: {reason}")


def _needed(package: str, extra: str, name: str) -> None:
    if find_spec(package) is None:
        raise EngineError(f"--on {name} needs {package}: pip install 'wavetank[{extra}]'")


def _install(wanted: Versions | None = None) -> str:
    return f"pip install wavetank=={(wanted or Versions.here()).wavetank} where the workers run"


def _shipped(function: Callable[..., Any], arguments: tuple[Any, ...]) -> Callable[[], bytes]:
    """The call as a function that cloudpickle sends whole, as it does with all that is defined in a function.

    So only the worker needs wavetank, and not the scheduler, which reads what is sent by name.
    """
    data = pickle.dumps((function, arguments))

    def call() -> bytes:
        import pickle

        function, arguments = pickle.loads(data)
        return pickle.dumps(function(*arguments))

    return call


def _unpacked(future: Future[bytes]) -> Future[Any]:
    """A future of the value that another one has pickled."""
    value: Future[Any] = Future()

    def done(future: Future[bytes]) -> None:
        if not value.set_running_or_notify_cancel():
            return
        try:
            value.set_result(pickle.loads(future.result()))
        except BaseException as error:
            value.set_exception(error)

    future.add_done_callback(done)
    return value


# -- Dask ------------------------------------------------------------------------------------------


@contextmanager
def _dask(name: str, address: str) -> Iterator[Engine]:
    _needed("distributed", "dask", name)
    from dask import config
    from distributed import Client

    try:
        # Its client writes its own report of a lost connection to the standard error.
        with config.set({"distributed.comm.timeouts.connect": f"{PATIENCE:g}s"}):
            client = Client(address, timeout=PATIENCE, set_as_default=False)
    except (OSError, TimeoutError, ValueError) as error:
        raise EngineError(
            f"--on {name}: no Dask scheduler answers there within {PATIENCE:g} s ({_first_line(error)}): "
            "start one with `dask scheduler`, or correct host and port"
        ) from None
    try:
        _check_workers(name, client)
        executor = client.get_executor(pure=False)

        def submit(function: Callable[..., Any], *arguments: Any) -> Future[Any]:
            return _unpacked(executor.submit(_shipped(function, arguments)))

        yield Engine(name, lambda: max(sum(client.nthreads().values()), 1), submit)
        executor.shutdown(wait=False)
    finally:
        with suppress(OSError, TimeoutError):
            client.close(timeout=PATIENCE)


def _check_workers(name: str, client: Any) -> None:
    """Compare the versions of all workers with those here; only the standard library is called there.

    Raises:
        EngineError: there is no worker, or one differs.
    """
    try:
        pythons = client.run(python_version)
        wavetanks = client.run(metadata.version, "wavetank", on_error="return")
    except (OSError, TimeoutError) as error:
        raise EngineError(f"--on {name}: its workers do not answer: {_first_line(error)}") from None
    if not pythons:
        raise EngineError(f"--on {name}: it has no workers: start some with `dask worker {name[7:]}`")
    for worker, python in pythons.items():
        who, version = f"--on {name}: the worker {worker}", wavetanks.get(worker)
        if isinstance(version, Exception):
            raise EngineError(f"{who} has no wavetank: {_install()}")
        Versions(python, str(version)).check(who, Versions.here())


def _first_line(error: BaseException) -> str:
    return (str(error) or type(error).__name__).splitlines()[0]


# -- Ray -------------------------------------------------------------------------------------------


@contextmanager
def _ray(name: str) -> Iterator[Engine]:
    _needed("ray", "ray", name)
    import ray

    address = None if name == "ray" else name
    try:
        ray.init(address=address, log_to_driver=False, logging_level="ERROR")
    except (OSError, ConnectionError, TimeoutError, RuntimeError, ValueError) as error:
        raise EngineError(
            f"--on {name}: no Ray answers there ({_first_line(error)}): start it with `ray start --head`, "
            "or correct host and port; the port of Ray's client is 10001"
        ) from None
    open_calls: dict[Any, None] = {}
    try:

        def submit(function: Callable[..., Any], *arguments: Any) -> Future[Any]:
            # Each piece costs its time again, however often a worker is lost.
            reference = ray.remote(max_retries=-1)(_shipped(function, arguments)).remote()
            open_calls[reference] = None
            future = reference.future()
            future.add_done_callback(lambda _: open_calls.pop(reference, None))
            return _unpacked(future)

        yield Engine(name, lambda: _cores(ray.cluster_resources()), submit)
    finally:
        for reference in [*open_calls]:
            with suppress(Exception):
                ray.cancel(reference, force=True)
        ray.shutdown()


def _cores(resources: Mapping[str, float]) -> int:
    return max(int(resources.get("CPU", 1)), 1)
