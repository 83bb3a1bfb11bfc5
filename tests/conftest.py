"""What every test shares: the Hypothesis profiles, and pytester for tests of the plugin."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import settings
from xdist.scheduler import LoadGroupScheduling  # type: ignore[import-untyped]

from . import forked
from .depth import DEEP

pytest_plugins = ["pytester"]

# Derandomized, so that a red run is red again; `make deep` looks for new examples instead.
settings.register_profile("default", max_examples=60, deadline=None, derandomize=True)
settings.register_profile("deep", max_examples=2000, deadline=None, print_blob=True)
settings.load_profile("deep" if DEEP else "default")

# Under CI a failing search is repeated in a fresh process, and failures are annotated for GitHub; the
# tests that mean it set the variable.
os.environ.pop("CI", None)
os.environ.pop("GITHUB_ACTIONS", None)

# Each of the many processes that tests start would compile the package, and rewrite its asserts, again.
sys.dont_write_bytecode = False
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

# Each client that a test makes reads all certificates of the machine, which takes 40 ms; this file has one.
os.environ["SSL_CERT_FILE"] = str(Path(__file__).with_name("one_certificate.pem"))

# A plugin that comes with an SDK takes more than a second to load, in each pytest that a test starts.
os.environ["PYTEST_ADDOPTS"] = "-p no:langsmith_plugin"


class ByGroupOrFile(LoadGroupScheduling):  # type: ignore[misc]
    """A file is run by one worker, which then sets up once what its tests share."""

    def _split_scope(self, nodeid: str) -> str:
        scope: str = super()._split_scope(nodeid)
        return nodeid.partition("::")[0] if scope == nodeid else scope


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_setupnodes() -> None:
    """Fork the workers, and all that they fork, from one process."""
    if not forked.measured():
        os.environ[forked.ADDRESS] = forked.server()
        subprocess.Popen = forked.ForkedWorkers  # type: ignore[misc]


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> ByGroupOrFile:
    return ByGroupOrFile(config, log)


def pytest_collectstart() -> None:
    """Leave out what installed packages add: the tests know of none."""
    from wavetank import fault_kinds
    from wavetank.checks import check_selection
    from wavetank.provider import vendor_registry
    from wavetank.report import files
    from wavetank.sim import policies

    for registry in (check_selection, fault_kinds, files, policies, vendor_registry):
        registry.ADDED._points = {}


_spared = [0]
"""How many modules there were when the collector was last spared all there was."""


def pytest_collection_finish() -> None:
    spare_the_collector()


def pytest_runtest_logfinish() -> None:
    if len(sys.modules) > _spared[0] + 200:
        spare_the_collector()


def spare_the_collector() -> None:
    """Let it leave alone the modules and tests of the session: to look at them takes half a second."""
    _spared[0] = len(sys.modules)
    gc.collect()
    gc.freeze()
