"""What `--llm-scenario` adds to a test that neither waits nor talks to anybody.

Two sizes of a file of empty tests are run with and without the option, each in a process of its own;
the figure is what one more test costs, so that imports and start-up do not count. CPU time is
measured, since other programs may use the machine at the same time.
"""

from __future__ import annotations

import resource
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

FEW: Final = 200
MANY: Final = 1_700
REPEATS: Final = 3
LIMIT_MS: Final = 1.0
"""The goal; `docs/pytest.md` says what it costs today."""


def cpu_seconds(folder: Path, count: int, *options: str) -> float:
    """CPU time of one run of pytest over `count` empty tests."""
    file = folder / "test_empty.py"
    file.write_text(
        f"import pytest\n@pytest.mark.parametrize('n', range({count}))\ndef test(n): pass\n", encoding="utf-8"
    )
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:langsmith_plugin"]
    subprocess.run([*command, *options, str(file)], cwd=folder, check=True, capture_output=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def each_ms(folder: Path, *options: str) -> float:
    """What one more test costs, in milliseconds; the least of several measurements."""
    few = min(cpu_seconds(folder, FEW, *options) for _ in range(REPEATS))
    many = min(cpu_seconds(folder, MANY, *options) for _ in range(REPEATS))
    return (many - few) / (MANY - FEW) * 1_000


def main() -> None:
    """Measure and print."""
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        (folder / "pytest.ini").write_text("[pytest]\n", encoding="utf-8")
        without, under = each_ms(folder), each_ms(folder, "--llm-scenario=cascade")
    print(f"an empty test without a scenario:         {without:.2f} ms")
    print(f"an empty test with --llm-scenario=cascade: {under:.2f} ms")
    print(
        f"the fake adds {under - without:.2f} ms, {under / without:.1f} times (limit: {LIMIT_MS:g} ms more)"
    )


if __name__ == "__main__":
    main()
