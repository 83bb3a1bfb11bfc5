"""Draw the pictures of the documentation: run as `make pictures`, with chromium installed."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from playwright.sync_api import FloatRect, sync_playwright

ROOT: Final = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from tests.plugin.page_blocks import blocks, commands, write  # noqa: E402

WIDTH: Final = 900
HEIGHT: Final = 1600
"""Of the window, in pixels: a little wider than the text of a page, and high enough for both runs."""


def first_timeline(page: Path, folder: Path) -> Path:
    """The timeline that the walk-through of a page writes first."""
    environment = {**os.environ, "PYTEST_ADDOPTS": "-p no:cacheprovider"}
    for block in blocks(page):
        if block.file is not None:
            write(block, folder)
        elif block.language == "console":
            for command, _ in commands(block):
                if command[0] == "pytest":
                    subprocess.run([sys.executable, "-m", *command], cwd=folder, env=environment, check=False)
        if found := sorted(folder.glob("llm-report/*.html")):
            return found[0]
    raise SystemExit(f"{page} writes no timeline")


def photograph(timeline: Path, picture: Path) -> None:
    """Write the two runs of a timeline, drawn by item, as a picture."""
    chromium = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": WIDTH, "height": HEIGHT}, color_scheme="light")
        page.goto(timeline.as_uri())
        page.get_by_role("button", name="Items").click()
        page.get_by_role("button", name="Fold quiet time").click()
        boxes = [box for each in page.locator(".chart").all() if (box := each.bounding_box()) is not None]
        top, bottom = boxes[0]["y"], boxes[-1]["y"] + boxes[-1]["height"]
        area: FloatRect = {"x": 0, "y": top - 8, "width": WIDTH, "height": bottom - top + 16}
        page.screenshot(path=picture, clip=area)
        browser.close()


def main() -> None:
    """Draw the picture of the tutorial."""
    with TemporaryDirectory() as folder:
        timeline = first_timeline(ROOT / "docs" / "tutorial.md", Path(folder))
        photograph(timeline, ROOT / "docs" / "pictures" / "tutorial.png")


if __name__ == "__main__":
    main()
