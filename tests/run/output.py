"""Reads the output of a run."""

from __future__ import annotations

import csv
from pathlib import Path


def rows(folder: Path) -> dict[str, dict[str, str]]:
    """The rows of `out.csv` by id; none is there twice."""
    with (folder / "out.csv").open(newline="") as file:
        found = list(csv.DictReader(file, strict=True))
    assert len({row["id"] for row in found}) == len(found)
    return {row["id"]: row for row in found}
