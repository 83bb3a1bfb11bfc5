"""What the tests of the plugin share: a small project and a way to run pytest on it."""

from __future__ import annotations

import pkgutil
import sys
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from importlib import import_module, metadata
from typing import Any

import pytest
from _pytest.pytester import SysModulesSnapshot

import wavetank

from ..forked import fork_them as fork_them

# A run of pytest in this process drops what it has imported of ours, and classes that the package hands out
# must stay the same from run to run.
for module in pkgutil.walk_packages(wavetank.__path__, "wavetank."):
    import_module(module.name)

# When this is imported, as by litellm, it takes the place of the finder of `importlib.metadata` for good.
# A run of pytest in this process takes back what was added to `sys.meta_path`, and no package would be found.
import_module("importlib_metadata")

# It comes with an SDK, and takes more than a second to load in each run.
LEFT_OUT = ("-p", "no:langsmith_plugin")

RunPytest = Callable[..., pytest.RunResult]

INI = """
[pytest]
asyncio_default_fixture_loop_scope = function
"""


class LoadedModules(SysModulesSnapshot):
    """What is loaded: put back later, but for modules of installed packages, which stay once they are loaded.

    SDKs that load their parts when they are used would otherwise mix old and new classes of one name.
    """

    def __init__(self) -> None:
        self._before = dict(sys.modules)

    def restore(self) -> None:
        """Drop or replace what has changed; it is called twice in each run, and most has not."""
        now = dict(sys.modules)
        for name in now.keys() - self._before.keys():
            if not is_installed(now[name]):
                del sys.modules[name]
        for name, module in self._before.items():
            if now.get(name) is not module and not is_installed(now.get(name)):
                sys.modules[name] = module


def is_installed(module: object) -> bool:
    """Whether a module belongs to an installed package; ours and a test's do not."""
    return "site-packages" in (getattr(module, "__file__", None) or "")


class Installed(metadata.PathDistribution):
    """An installed distribution whose entry points are read once."""

    @cached_property
    def entry_points(self) -> metadata.EntryPoints:
        return super().entry_points


INSTALLED_IN = [folder for folder in sys.path if "site-packages" in folder]
INSTALLED = [Installed(found._path) for found in metadata.distributions(path=INSTALLED_IN)]  # type: ignore[attr-defined]


def distributions(path: list[str] | None = None, **given: Any) -> Iterator[metadata.Distribution]:
    """What `importlib.metadata` finds, which it would read twice in each run of pytest."""
    searched = sys.path if path is None else path
    known = [folder for folder in searched if folder in INSTALLED_IN]
    if given or known != INSTALLED_IN:
        yield from metadata.Distribution.discover(path=searched, **given)
    else:
        yield from metadata.Distribution.discover(path=[each for each in searched if each not in known])
        yield from INSTALLED


@pytest.fixture
def run_pytest(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> RunPytest:
    """Runs pytest on the files a test has made, in a process of its own if `apart` is true.

    pytest loads only wavetank and `plugins`, which may be `None` for all that are installed: to load those
    takes two seconds in each process.
    """
    pytester.makeini(INI)

    monkeypatch.setattr(metadata, "distributions", distributions)
    monkeypatch.setattr(pytester, "_Pytester__take_sys_modules_snapshot", LoadedModules)
    pytester._sys_modules_snapshot = LoadedModules()  # which it takes back at the end of the test

    def run(
        *options: str, apart: bool = False, plugins: Sequence[str] | None = ("anyio",)
    ) -> pytest.RunResult:
        given = ["-p", "no:cacheprovider", *LEFT_OUT]
        with monkeypatch.context() as patch:
            if plugins is not None:
                patch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
                given += [word for name in (*plugins, "wavetank") for word in ("-p", name)]
            if apart:
                # The workers of xdist do not know the options.
                patch.setenv("PYTEST_ADDOPTS", " ".join(LEFT_OUT))
                return pytester.runpytest_subprocess(*given, *options, timeout=600)
            return pytester.runpytest(*given, *options)

    return run
