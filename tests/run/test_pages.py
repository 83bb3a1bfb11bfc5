"""The page on `wavetank run` says what the code does."""

from __future__ import annotations

import argparse
import re
from pathlib import Path

from wavetank.run.output_rows import OWN_COLUMNS
from wavetank.run.providers import PROVIDERS
from wavetank.run.run_arguments import EXIT_CODES, PROVIDER_NAMES, add_arguments

PAGE = (Path(__file__).parents[2] / "docs" / "running.md").read_text("utf-8")


def rows(title: str) -> list[str]:
    """The names in the first column of the table under a heading."""
    _, _, rest = PAGE.partition(f"\n## {title}\n")
    return re.findall(r"^\| `([\w-]+)` ", rest.partition("\n## ")[0], flags=re.MULTILINE)


def test_the_page_has_every_provider_with_its_keys() -> None:
    """Each provider has its row, with the variables that hold its key."""
    assert rows("Providers") == list(PROVIDERS)
    assert sorted(PROVIDERS) == list(PROVIDER_NAMES)
    for provider in PROVIDERS.values():
        line = next(line for line in PAGE.splitlines() if line.startswith(f"| `{provider.name}`"))
        assert all(f"`{key}`" in line for key in provider.keys)
        assert provider.base_url in line
        assert f"`{provider.url_variable}`" in line or provider.url_variable is None


def test_the_page_has_every_column_and_exit_status() -> None:
    """The columns that a run adds and the statuses it ends with are those of the code."""
    assert rows("Rows") == list(OWN_COLUMNS)
    assert rows("Exit status") == re.findall(r"^  (\d+) ", EXIT_CODES, flags=re.MULTILINE)


def test_the_page_names_every_option() -> None:
    """The page has every option that `--help` lists."""
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    options = {name for action in parser._actions for name in action.option_strings if name.startswith("--")}
    assert sorted(name for name in options - {"--help"} if f"`{name}" not in PAGE) == []
