"""All of a process that a test could leave changed: taken before and after, and compared.

Hooks that `sys.addaudithook` has added can be neither listed nor removed; they are left out.
"""

from __future__ import annotations

import asyncio
import atexit
import faulthandler
import gc
import locale
import logging
import os
import random
import signal
import socket
import sys
import threading
import types
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

RUNNERS = ("_pytest", "pytest", "pluggy", "wavetank", "_hypothesis_globals")
"""Packages that keep books of their own about the session."""

TIMERS = (signal.ITIMER_REAL, signal.ITIMER_VIRTUAL, signal.ITIMER_PROF)
NOTHING = "nothing"
NEW_IS_FINE = ("module", "logging")
"""Imports, which some packages put off, bring modules, their attributes, and loggers."""

BOOKS = ("__warningregistry__", "_showwarnmsg_impl")
"""Attributes that the interpreter and pytest renew for each test."""

Parts = dict[str, dict[str, Any]]


def snapshot(names: Sequence[str] = ()) -> Parts:
    """The state of the process; of modules only those that are named, or of all that are imported."""
    return {
        "module": dict(_modules(names)),
        "sys": _sys(),
        "signals": _signals(),
        "loop": _loop(),
        "process": _process(),
        "files": dict(_files()),
        "environment": {name: value for name, value in os.environ.items() if name != "PYTEST_CURRENT_TEST"},
        "gc": {"on": gc.isenabled(), "thresholds": gc.get_threshold(), "callbacks": [*gc.callbacks]},
        "logging": dict(_logging()),
    }


def differences(before: Parts, after: Parts) -> list[str]:
    """What is another object and not equal, or is gone."""
    found = []
    for part, now in after.items():
        then = before[part]
        for name in [
            *(name for name in then if then[name] is not now.get(name)),
            *(now.keys() - then.keys()),
        ]:
            one, other = then.get(name, NOTHING), now.get(name, NOTHING)
            if not _same(one, other) and not (part in NEW_IS_FINE and one == NOTHING and not _is_ours(other)):
                found.append(f"{part} {name}: {one!r:.200} became {other!r:.200}")
    return sorted(found)


def _is_ours(value: object) -> bool:
    return str(getattr(value, "__module__", "")).startswith("wavetank")


def _same(one: object, other: object) -> bool:
    if one is other:
        return True
    if type(one) is not type(other) or isinstance(one, (type, types.FunctionType, types.ModuleType)):
        return False
    try:
        return bool(one == other)
    except Exception:
        return False  # an array, for example, which knows no plain answer


def _modules(names: Sequence[str]) -> Iterator[tuple[str, object]]:
    """The attributes of modules, and of the classes that are their own."""
    for name, module in list(sys.modules.items()):
        wanted = name in names if names else name.partition(".")[0] not in RUNNERS
        if not wanted or not isinstance(module, types.ModuleType):
            continue
        for attribute, value in list(vars(module).items()):
            if attribute in BOOKS or (name == "sys" and attribute.startswith("last_")):
                continue
            yield f"{name} {attribute}", value
            if isinstance(value, type) and value.__module__ == name:
                yield from ((f"{name} {attribute}.{key}", inner) for key, inner in list(vars(value).items()))


def _sys() -> dict[str, object]:
    monitoring = getattr(sys, "monitoring", None)
    return {
        "hooks": (sys.excepthook, sys.unraisablehook, sys.displayhook, sys.breakpointhook),
        "threading.excepthook": threading.excepthook,
        "trace": (sys.gettrace(), sys.getprofile(), threading.gettrace(), threading.getprofile()),
        "monitoring": monitoring and [monitoring.get_tool(number) for number in range(6)],
        "asyncgen hooks": tuple(sys.get_asyncgen_hooks()),
        "coroutine origins": sys.get_coroutine_origin_tracking_depth(),
        "recursion limit": sys.getrecursionlimit(),
        "switch interval": sys.getswitchinterval(),
        "import": ([*sys.meta_path], [*sys.path_hooks], [*sys.path]),
        "streams": (sys.stdin, sys.stdout, sys.stderr),
        "warnings": ([*warnings.filters], warnings.showwarning),
    }


def _signals() -> dict[str, object]:
    wakeup = signal.set_wakeup_fd(-1)
    signal.set_wakeup_fd(wakeup)
    return {
        "handlers": {number: signal.getsignal(number) for number in signal.valid_signals()},
        "mask": signal.pthread_sigmask(signal.SIG_BLOCK, ()),
        "wakeup": wakeup,
        "timers": [
            signal.getitimer(kind) for kind in (signal.ITIMER_REAL, signal.ITIMER_VIRTUAL, signal.ITIMER_PROF)
        ],
    }


def _loop() -> dict[str, object]:
    name = "_get_event_loop_policy" if sys.version_info >= (3, 14) else "get_event_loop_policy"
    policy: Any = vars(asyncio.events)[name]()
    return {
        "policy": policy,
        "of the policy": policy._local,
        "current": getattr(policy._local, "_loop", None),
        "running": asyncio._get_running_loop(),
    }


def _process() -> dict[str, object]:
    return {
        "threads": sorted(thread.name for thread in threading.enumerate()),
        "stack size": threading.stack_size(),
        "folder": os.getcwd(),
        "locale": locale.setlocale(locale.LC_ALL),
        "random": random.getstate(),
        "socket timeout": socket.getdefaulttimeout(),
        "faulthandler": faulthandler.is_enabled(),
        "atexit": atexit._ncallbacks(),
    }


def _files() -> Iterator[tuple[str, str]]:
    """The open file descriptors, and what each is, where the system tells."""
    for number in Path("/proc/self/fd").glob("*"):
        if number.exists():
            yield number.name, str(number.readlink())


def _logging() -> Iterator[tuple[str, object]]:
    for name, one in [("", logging.root), *logging.root.manager.loggerDict.items()]:
        if isinstance(one, logging.Logger):
            handlers = [each for each in one.handlers if not type(each).__module__.startswith(RUNNERS)]
            yield name, (one.level, handlers, [*one.filters], one.disabled, one.propagate)
    yield "of all", (logging.root.manager.disable, logging.getLogRecordFactory(), logging.getLoggerClass())
