"""What the tests of the plugin share: a small project and a way to run pytest on it."""

from __future__ import annotations

import pkgutil
from collections.abc import Callable
from importlib import import_module

import pytest

import wavetank

# A run of pytest in this process drops what it has imported. Classes that the package hands out must
# stay the same from run to run, and large libraries need not be imported over and over.
LASTING = (
    "anthropic",
    "anyio._backends._asyncio",
    "anyio._backends._trio",
    "httpcore",
    "httpcore2",
    "httpx",
    "httpx2",
    "openai",
    "trio",
)
for name in (*LASTING, *(module.name for module in pkgutil.walk_packages(wavetank.__path__, "wavetank."))):
    import_module(name)

# It comes with an SDK, and takes more than a second to load in each run.
LEFT_OUT = ("-p", "no:langsmith_plugin")

RunPytest = Callable[..., pytest.RunResult]

INI = """
[pytest]
asyncio_default_fixture_loop_scope = function
"""


@pytest.fixture
def run_pytest(pytester: pytest.Pytester) -> RunPytest:
    """Runs pytest on the files a test has made, in a process of its own if `apart` is true."""
    pytester.makeini(INI)

    def run(*options: str, apart: bool = False) -> pytest.RunResult:
        given = ("-p", "no:cacheprovider", *LEFT_OUT, *options)
        return pytester.runpytest_subprocess(*given, timeout=600) if apart else pytester.runpytest(*given)

    return run
