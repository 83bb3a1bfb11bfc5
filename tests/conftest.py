"""What every test shares: the Hypothesis profiles, and pytester for tests of the plugin."""

from __future__ import annotations

import os

from hypothesis import settings

pytest_plugins = ["pytester"]

# Derandomized, so that a red run is red again; `make deep` looks for new examples instead.
settings.register_profile("default", max_examples=60, deadline=None, derandomize=True)
settings.register_profile("deep", max_examples=2000, deadline=None, print_blob=True)
settings.load_profile("deep" if os.environ.get("WAVETANK_DEEP") == "1" else "default")

# Under CI a failing search is repeated in a fresh process, and failures are annotated for GitHub; the
# tests that mean it set the variable.
os.environ.pop("CI", None)
os.environ.pop("GITHUB_ACTIONS", None)

# A plugin that comes with an SDK takes more than a second to load, in each pytest that a test starts.
os.environ["PYTEST_ADDOPTS"] = "-p no:langsmith_plugin"
