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

extensions = [
    "museum_gallery",
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.doctest",
    "sphinx.ext.napoleon",
]
myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3
exclude_patterns = ["build"]

html_theme = "furo"
html_title = f"wavetank {version}"
# The same sources give the same pages.
html_last_updated_fmt = None
html_show_sourcelink = False

doctest_test_doctest_blocks = ""

# What stands between single backticks in a docstring is code.
default_role = "code"
autodoc_default_options = {"members": True}
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
python_use_unqualified_type_names = True
# Every method in the table of contents of every page would double the time of the build.
toc_object_entries = False
# Types of other libraries and of modules that are not public are named and lead nowhere.
nitpick_ignore_regex = [(r"py:.*", r".*")]
# Several modules have a name such as `Limits`: what is shown is right, and leads to one of them.
suppress_warnings = ["ref.python"]
