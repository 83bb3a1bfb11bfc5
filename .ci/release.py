"""Make a release: check its version, build it, check what was built, and try it in a new environment.

Nothing is uploaded; the last line says how that is done. Run it by `make release`.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]
BUILD = ROOT / "build" / "release"
DIST = ROOT / "dist"


def problems(root: Path) -> list[str]:
    """What is wrong with the version of the project in this folder."""
    version = tomllib.loads((root / "pyproject.toml").read_text("utf-8"))["project"]["version"]
    package = (root / "src" / "wavetank" / "__init__.py").read_text("utf-8")
    changelog = (root / "docs" / "changelog.md").read_text("utf-8")
    found = []
    if f'__version__: Final = "{version}"' not in package:
        found.append(f"src/wavetank/__init__.py does not have the version {version} of pyproject.toml")
    headings = re.findall(r"^## (\S+) \((.*)\)$", changelog, re.MULTILINE)
    if not headings or headings[0][0] != version:
        found.append(f"the first section of docs/changelog.md is not '## {version} (DATE)'")
    elif not re.fullmatch(r"\d{4}-\d\d-\d\d", headings[0][1]):
        found.append(f"docs/changelog.md: write the date of the release in '## {version} ({headings[0][1]})'")
    return found


def run(*command: str | Path, cwd: Path = ROOT) -> None:
    """Run a command, and end here if it fails."""
    print("$", *command, flush=True)
    if subprocess.run(command, cwd=cwd, check=False).returncode:
        sys.exit(f"make release: this failed: {' '.join(map(str, command))}")


def environment(folder: Path, *packages: str) -> Path:
    """The Python of a new environment with these packages."""
    run(sys.executable, "-m", "venv", "--clear", folder)
    python = folder / ("Scripts" if sys.platform == "win32" else "bin") / "python"
    run(python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *packages)
    return python


def built() -> list[Path]:
    """The source archive and the wheel, which is built from the archive."""
    shutil.rmtree(DIST, ignore_errors=True)
    groups = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["dependency-groups"]
    python = environment(BUILD / "tools", *groups["release"])
    run(python, "-m", "build", "--outdir", DIST)
    files = sorted(DIST.iterdir())
    run(python, "-m", "twine", "check", "--strict", *files)
    return files


def try_out(wheel: Path) -> None:
    """Run the example by the wheel, away from the source tree."""
    groups = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["dependency-groups"]
    python = environment(BUILD / "installed", str(wheel), *groups["demo"])
    project = BUILD / "demo"
    shutil.rmtree(project, ignore_errors=True)
    shutil.copytree(ROOT / "examples" / "demo", project, ignore=shutil.ignore_patterns("__pycache__"))
    run(python, "-m", "pytest", "--llm-scenario=cascade", cwd=project)


def main() -> None:
    """All steps in turn."""
    if found := problems(ROOT):
        sys.exit("\n".join(("make release: the version is not ready:", *found)))
    files = built()
    try_out(next(file for file in files if file.suffix == ".whl"))
    names = " ".join(str(file.relative_to(ROOT)) for file in files)
    print(f"built and tried: {names}")
    print("to upload it: tag the commit, and run: build/release/tools/bin/python -m twine upload", names)


if __name__ == "__main__":
    main()
