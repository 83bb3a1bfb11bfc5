"""Campaigns and forecasts on real clusters: Dask's scheduler and two workers on loopback, and Ray."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from wavetank.cli import main

from ..depth import DEEP

PROGRAM = """
import os
import signal
import anyio
import wavetank

runs = 0


@wavetank.explore(scenario="calm", backends=("asyncio",))
async def test_race(tank):
    order = []

    async def work(name):
        for _ in range(2):
            await anyio.lowlevel.checkpoint()
            order.append(name)

    async with anyio.create_task_group() as group:
        for name in "abc":
            group.start_soon(work, name, name=name)
    assert order != ["c", "c", "a", "b", "b", "a"]


@wavetank.explore(scenario="calm", backends=("asyncio",))
async def test_fine(tank):
    global runs
    runs += 1
    if runs == 20 and "ON_A_WORKER" in os.environ and os.path.exists("kill"):
        os.unlink("kill")
        os.kill(os.getppid(), signal.SIGKILL)
    async with anyio.create_task_group() as group:
        for number in range(3):
            group.start_soon(anyio.sleep, 0.01 * number)
"""
INI = """
[pytest]
addopts = --strict-config -p xdist -p wavetank
"""


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The name of an engine with two workers, which load no other plugin of pytest than wavetank."""
    folder = tmp_path_factory.mktemp("dask")
    environment = {**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "ON_A_WORKER": "1"}
    file = folder / "scheduler.json"
    quiet = ("--no-dashboard",)
    with ExitStack() as running:

        def start(kind: str, *words: str) -> None:
            process = subprocess.Popen(
                [sys.executable, "-m", f"distributed.cli.dask_{kind}", *quiet, *words],
                cwd=folder,
                env=environment,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
            running.callback(process.wait)
            running.callback(process.kill)

        start("scheduler", "--host", "127.0.0.1", "--port", "0", "--scheduler-file", str(file))
        for _ in range(2):
            start("worker", "--nthreads", "1", "--no-nanny", "--scheduler-file", str(file))
        address = _address(file)
        _wait_for_workers(address, 2)
        yield address.replace("tcp://", "dask://")


def _address(file: Path) -> str:
    """Of the scheduler, once it has written it."""
    while True:
        try:
            address: str = json.loads(file.read_text())["address"]
            return address
        except (FileNotFoundError, json.JSONDecodeError):
            time.sleep(0.05)


def _wait_for_workers(address: str, many: int) -> None:
    from distributed import Client

    with Client(address, set_as_default=False) as client:
        client.wait_for_workers(many)


def explore(folder: Path, *words: str) -> tuple[int, dict[str, Any], dict[str, Any]]:
    """Run a campaign: its status, its report, and its saved state."""
    status = main(["explore", ".", "--schedules", "400", "-n", "1", *words, "--json", "found.json"])
    state = json.loads((folder / ".wavetank" / "campaign.json").read_text())["tests"]
    (folder / ".wavetank" / "campaign.json").unlink()
    return status, json.loads((folder / "found.json").read_text()), state


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with explored tests, as the current one."""
    (tmp_path / "pytest.ini").write_text(INI)
    (tmp_path / "test_it.py").write_text(PROGRAM)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    return tmp_path


def test_a_cluster_finds_what_one_process_finds(cluster: str, project: Path) -> None:
    """Also when a worker is killed: the same failure, shrunk to the same, and the same distinct schedules."""
    here = explore(project)
    (project / "kill").touch()
    there = explore(project, "--on", cluster)
    assert not (project / "kill").exists()
    assert there[0] == here[0] == 1
    assert there[1]["engine"] == cluster
    for one, other in zip(here[1]["tests"], there[1]["tests"], strict=True):
        for name in ("test", "result", "schedules", "distinct", "schedule", "report", "choice_points"):
            assert one[name] == other[name]
    assert {name: test["distinct"] for name, test in here[2].items()} == {
        name: test["distinct"] for name, test in there[2].items()
    }


def test_a_forecast_is_the_same_on_a_cluster(cluster: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Byte for byte."""
    words = ["forecast", "--rows", "100", "--input-tokens", "900", "-j", "10", "--seeds", "1", "--json"]
    assert main(words) == 0
    here = capsys.readouterr().out
    assert main([*words, "--on", cluster]) == 0
    assert capsys.readouterr().out == here


@pytest.mark.skipif(not DEEP, reason="Ray needs half a minute: WAVETANK_DEEP=1")
def test_ray_finds_what_one_process_finds(project: Path) -> None:
    """The same failure, shrunk to the same."""
    pytest.importorskip("ray", reason="Ray is not installed: pip install 'wavetank[ray]'")
    here = explore(project)
    there = explore(project, "--on", "ray")
    for one, other in zip(here[1]["tests"], there[1]["tests"], strict=True):
        for name in ("test", "result", "schedules", "distinct", "schedule"):
            assert one[name] == other[name]
