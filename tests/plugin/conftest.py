"""What the tests of the plugin share: a small project and a way to run pytest on it."""

from __future__ import annotations

import pkgutil
import sys
from collections.abc import Callable, Sequence
from functools import partial
from importlib import import_module

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


def is_installed(name: str) -> bool:
    """Whether the module of this name belongs to an installed package; ours and a test's do not."""
    return "site-packages" in (getattr(sys.modules.get(name), "__file__", None) or "")


@pytest.fixture
def run_pytest(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> RunPytest:
    """Runs pytest on the files a test has made, in a process of its own if `apart` is true.

    pytest loads only wavetank and `plugins`, which may be `None` for all that are installed: to load those
    takes two seconds in each process.
    """
    pytester.makeini(INI)

    # SDKs that load their parts when they are used would otherwise mix old and new classes of one name.
    snapshot = partial(SysModulesSnapshot, preserve=is_installed)
    monkeypatch.setattr(pytester, "_Pytester__take_sys_modules_snapshot", snapshot)
    pytester._sys_modules_snapshot = snapshot()  # which it takes back at the end of the test

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
