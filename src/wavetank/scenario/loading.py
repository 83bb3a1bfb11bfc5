"""Where scenarios come from: the catalogue, a file, a text, a table, or code."""

from __future__ import annotations

import os
import re
import tomllib
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec

from ..shown import shortened
from .errors import LONGEST, Place, ScenarioError, listed, nearest
from .model import Scenario
from .reading import given, read_struct

if TYPE_CHECKING:
    from collections.abc import Iterator
    from importlib.resources.abc import Traversable

_AT_LINE: Final = re.compile(r"(.*) \(at line (\d+), column (\d+)\)", re.DOTALL)
_SUFFIX: Final = ".toml"
# In an installed package, and in a source tree.
_FOLDERS: Final = tuple(Path(__file__).parents[up] / "scenarios" for up in (1, 3))


def catalogue() -> tuple[str, ...]:
    """The names of the scenarios that come with the package, sorted."""
    return tuple(sorted(name.removesuffix(_SUFFIX) for name in _catalogue_files()))


def load_scenario(scenario: str | os.PathLike[str] | Scenario) -> Scenario:
    """Find a scenario and check it.

    Args:
        scenario: a name of the catalogue, a path to a `.toml` file (a text that ends in
            `.toml` or holds a path separator, or a path object), or a `Scenario` built in code.

    Raises:
        ScenarioError: there is no such scenario, or it cannot be used; says what to fix.
    """
    if isinstance(scenario, Scenario):
        return override_scenario(scenario, {}, source=f"scenario {scenario.name!r}")
    if isinstance(scenario, str) and not _is_path(scenario):
        return _from_catalogue(scenario)
    return _from_file(Path(scenario))


def parse_scenario(text: str, *, name: str, source: str, folder: str = "") -> Scenario:
    """Read a scenario from TOML text.

    Args:
        text: the whole text.
        name: what the scenario is called in logs.
        source: what error texts name, such as the path of the file.
        folder: where relative paths in the scenario start, by default where the program runs.

    Raises:
        ScenarioError: the text is not TOML (names the line) or not a scenario (names the key).
    """
    try:
        data = tomllib.loads(text)
    except RecursionError:
        raise ScenarioError(f"{source}: it is nested too deep for a scenario; remove brackets") from None
    except ValueError as error:  # of TOML, or of a number with thousands of digits
        raise ScenarioError(_syntax_error(source, shortened(str(error), LONGEST))) from None
    return scenario_from_dict(data, name=name, source=source, folder=folder)


def scenario_from_dict(data: dict[str, object], *, name: str, source: str, folder: str = "") -> Scenario:
    """Read a scenario from a table of plain values, written as in TOML; `folder` as in `parse_scenario`.

    Raises:
        ScenarioError: an unknown key or value, a wrong type, or a rule that does not hold.
    """
    place = Place(source, folder=folder)
    if "name" in data:
        raise place.key("name").error("a scenario is named by its file; remove this key, or write title")
    return msgspec.structs.replace(read_struct(Scenario, data, place), name=name)


def override_scenario(scenario: Scenario, overrides: dict[str, object], *, source: str) -> Scenario:
    """The same scenario with whole parts replaced, such as `{"latency": {"refusal": "1s"}}`.

    A scenario that is changed by nothing comes back as it is.

    Raises:
        ScenarioError: the result cannot be used; the text names `source`.
    """
    kept = {key: value for key, value in given(scenario).items() if key != "name"}
    changed = scenario_from_dict(kept | overrides, name=scenario.name, source=source)
    return scenario if changed == scenario else changed


def _is_path(text: str) -> bool:
    return text.endswith(_SUFFIX) or "/" in text or os.sep in text


def _from_catalogue(name: str) -> Scenario:
    try:
        return _parsed_once(name, _FOLDERS)
    except KeyError:
        raise ScenarioError(
            f"no scenario {shortened(repr(name))}{nearest(name, catalogue())} {_what_there_is()}"
        ) from None


@cache
def _parsed_once(name: str, _: tuple[Path, ...]) -> Scenario:
    """A scenario of the catalogue in some folders: to find and read it takes a tenth of each short run.

    Raises: KeyError: the catalogue has none of this name.
    """
    file = _catalogue_files()[f"{name}{_SUFFIX}"]
    return parse_scenario(file.read_text(encoding="utf-8"), name=name, source=str(file))


def _from_file(path: Path) -> Scenario:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        hint = nearest(path.stem, catalogue())
        raise ScenarioError(f"no scenario file '{shortened(str(path))}'{hint} {_what_there_is()}") from None
    except UnicodeDecodeError as error:
        raise ScenarioError(f"{path}: not UTF-8 text at byte {error.start}; save the file as UTF-8") from None
    except OSError as error:
        raise ScenarioError(f"{shortened(str(path))}: cannot be read: {error.strerror}") from None
    return parse_scenario(text, name=path.stem, source=str(path), folder=str(path.parent))


def _what_there_is() -> str:
    return (
        f"The catalogue has: {listed(catalogue())}. A file of your own is named by a path that ends in .toml"
    )


def _catalogue_files() -> dict[str, Traversable]:
    """The files of the catalogue: package data in a wheel, the top folder in a source tree."""
    folder = next(filter(Path.is_dir, _FOLDERS), None)
    files = _packed() if folder is None else folder.iterdir()
    return {file.name: file for file in files if file.name.endswith(_SUFFIX)}


def _packed() -> Iterator[Traversable]:
    """The files of a package that is imported from an archive."""
    import importlib.resources

    root = importlib.resources.files(__name__.partition(".")[0]) / "scenarios"
    return root.iterdir() if root.is_dir() else iter(())


def _syntax_error(source: str, message: str) -> str:
    if located := _AT_LINE.fullmatch(message):
        what, line, column = located.groups()
        return f"{source}, line {line}, column {column}: not TOML: {what}"
    return f"{source}: not TOML: {message}"
