"""How the documentation is built."""

from __future__ import annotations

import sys
from importlib.metadata import version as installed_version
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

project = "wavetank"
author = "The wavetank authors"
project_copyright = "2026 The wavetank authors"
release = version = installed_version("wavetank")

extensions = ["myst_parser", "sphinx.ext.doctest", "museum_gallery"]
myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3
exclude_patterns = ["build"]

html_theme = "furo"
html_title = f"wavetank {version}"
# The same sources give the same pages.
html_last_updated_fmt = None
html_show_sourcelink = False

doctest_test_doctest_blocks = ""
