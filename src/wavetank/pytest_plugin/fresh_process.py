"""Repeat a failing schedule once in a fresh process, under another hash seed; done where `CI` is set."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Final

import pytest

from .per_test import place_of

_SECONDS: Final = 300
_SAME: Final = "repeated from its token"
_TOLD: Final = 600
_NOT_PASSED_ON: Final = (
    *("PYTEST_XDIST_WORKER", "PYTEST_XDIST_WORKER_COUNT", "PYTEST_CURRENT_TEST"),
    "GITHUB_ACTIONS",  # for a failure is annotated once
)


def wanted() -> bool:
    """Whether this is a run of continuous integration, as its usual variable says."""
    return os.environ.get("CI", "").lower() not in ("", "0", "false")


def in_a_fresh_process(item: pytest.Function, token: str, scenario: str | None) -> str:
    """Repeat the schedule of `token`, and say in a line what came of it."""
    config = item.config
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", f"--rootdir={config.rootpath}"]
    command += ["-c", str(config.inipath)] if config.inipath is not None else []
    command += [place_of(item, scenario), f"--llm-replay={token}"]
    command += [f"--llm-scenario={scenario}"] if scenario is not None else []
    other_hash_seed = "1" if os.environ.get("PYTHONHASHSEED") != "1" else "2"
    environment = {**os.environ, "PYTHONHASHSEED": other_hash_seed, "PYTEST_ADDOPTS": ""}
    for name in _NOT_PASSED_ON:
        environment.pop(name, None)
    try:
        done = subprocess.run(
            command,
            cwd=config.invocation_params.dir,
            env=environment,
            capture_output=True,
            text=True,
            timeout=_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return f"a fresh process did not repeat it within {_SECONDS} s of real time"
    if _SAME in done.stdout:
        return "a fresh process under another hash seed repeats it"
    output = (done.stdout.strip() or done.stderr.strip())[-_TOLD:]
    return (
        f"a fresh process under another hash seed does not repeat it{_cause(done)}; "
        f"it printed last:\n{output}"
    )


def _cause(done: subprocess.CompletedProcess[str]) -> str:
    """What the test may depend on, if it was run there at all."""
    if done.returncode not in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED):
        return ""
    return " (look for the order of a set of strings, and for state that earlier runs or tests leave behind)"
