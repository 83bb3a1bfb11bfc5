"""The version, and the command without its script."""

from __future__ import annotations

import subprocess
import sys

import pytest

import wavetank
from wavetank.cli import main


def test_the_version_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    """In one line that a script can read."""
    with pytest.raises(SystemExit) as ended:
        main(["--version"])
    assert ended.value.code == 0
    assert capsys.readouterr().out == f"wavetank {wavetank.__version__}\n"


def test_the_package_is_the_command() -> None:
    """`python -m wavetank` takes the same arguments and has the same name in errors."""
    command = [sys.executable, "-m", "wavetank"]
    listed = subprocess.run([*command, "scenarios"], capture_output=True, text=True, timeout=600)
    assert listed.returncode == 0
    assert "cascade" in listed.stdout
    wrong = subprocess.run([*command, "nothing"], capture_output=True, text=True, timeout=600)
    assert wrong.returncode == 2
    assert wrong.stderr.startswith("usage: wavetank ")
