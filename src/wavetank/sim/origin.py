"""Where in the program something happens: the file and line of the innermost frame of the user's own.

Frames of wavetank, of the standard library and of installed packages are passed over. Files are
named relative to the project, with forward slashes, so that a log is the same on every machine.
"""

from __future__ import annotations

import inspect
import linecache
import os
import sys
import sysconfig
import threading
from asyncio import events
from pathlib import PurePath
from types import CodeType, FrameType, TracebackType
from typing import Final, Literal, final

import msgspec

Kind = Literal["own", "installed", "shown", "loop", "hidden"]
"""Of a file: the user's own, of an installed package, a room of wavetank that is a program itself, an
engine's, or what no reader wants to see."""

Place = tuple[str, int]
"""A file, relative to the project, and a line."""

_PACKAGE: Final = os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep
_SHOWN: Final = tuple(f"{_PACKAGE}{room}{os.sep}" for room in ("processor", "museum"))
_SHARED: Final = (f"museum{os.sep}specimen.py", f"museum{os.sep}workload.py")
_STANDARD: Final = tuple(
    {
        folder + os.sep
        for name in ("stdlib", "platstdlib")
        for folder in (sysconfig.get_path(name), os.path.realpath(sysconfig.get_path(name)))
    }
    | {os.path.dirname(os.__file__) + os.sep}
)
_SCRIPTS: Final = os.path.dirname(sys.executable) + os.sep
_INSTALLED: Final = tuple(f"{os.sep}{name}{os.sep}" for name in ("site-packages", "dist-packages"))
_NOTEBOOK: Final = f"{os.sep}ipykernel_"
_RUNNERS: Final = (
    *("_pytest", "pluggy", "xdist", "pytest_asyncio", "pytest_trio", "anyio", "trio", "outcome"),
    *("uvicorn", "hypercorn", "starlette"),
)
"""Installed packages that run programs and are never one themselves."""

_LOOPS: Final = frozenset(
    (
        *("_run_once", "_run_batch", "_run_chosen", "run_forever", "unrolled_run", "_bootstrap_inner"),
        "called",  # of `sim.ended`: a plain `main`
    )
)
"""Functions that run the steps of others: what called them says nothing about the step."""

_MARKS: Final = ("pyproject.toml", "pytest.ini", "setup.cfg", "setup.py", "tox.ini", ".git")
_STARTED_IN: Final = os.getcwd()


@final
class Origin(msgspec.Struct, frozen=True, gc=False):
    """Who does something, and where: the task or thread, and the place in the program if there is one."""

    task: str | None
    file: str | None
    line: int | None


NOWHERE: Final = Origin(None, None, None)


def origin_of(task: str | None, place: Place | None) -> Origin:
    """Who, and where if that is known."""
    return Origin(task, None, None) if place is None else Origin(task, place[0], place[1])


_kinds: Final[dict[str, Kind]] = {}
_names: Final[dict[str, str]] = {}
_places: Final[dict[tuple[int, int], tuple[CodeType, Place]]] = {}
"""The place of an instruction, by the identity of its code, which is kept alive so that the identity stays
its own. To work out a line takes as long as the rest of the search for a place."""

_MOST_PLACES: Final = 10_000
"""A program has some hundreds of places that are asked for; code compiled at run time has no limit."""

_project: Final[list[str]] = []


def set_project(folder: str | os.PathLike[str]) -> None:
    """Name files relative to this folder from here on; until then it is that of the working directory."""
    found = os.path.abspath(folder)
    if _project != [found]:
        forget_project()
        _project[:] = [found]


def forget_project() -> None:
    """Name files relative to the project of the working directory again."""
    _project.clear()
    _names.clear()
    _places.clear()


def caller_file() -> str:
    """The file of the function that called the caller."""
    return sys._getframe(2).f_code.co_filename


def place_of_frame(frame: FrameType | None, *, fallback: bool = True) -> Place | None:
    """The innermost place of the user's own, from this frame outwards.

    A program that lies in an installed package as a whole has its innermost frame there, if `fallback`.
    """
    start = frame
    while frame is not None:
        file = frame.f_code.co_filename
        kind = _kinds.get(file) or kind_of(frame)
        if kind == "hidden":
            frame = frame.f_back
            continue
        if kind == "own":
            key = id(frame.f_code), frame.f_lasti
            known = _places.get(key)
            return known[1] if known is not None else _note_place(key, frame)
        if kind == "loop" and frame.f_code.co_name in _LOOPS:
            break
        frame = frame.f_back
    return _fallback(start) if fallback else None


def place_of_function(function: object) -> Place | None:
    """The first line of a function, if it is the user's own."""
    code = getattr(inspect.unwrap(function), "__code__", None) if callable(function) else None
    if code is None or code.co_filename.startswith("<") or _kind_of_file(code.co_filename) != "own":
        return None
    return name_of_file(code.co_filename), code.co_firstlineno


def _note_place(key: tuple[int, int], frame: FrameType) -> Place:
    if len(_places) >= _MOST_PLACES:
        _places.clear()
    code = frame.f_code
    place = name_of_file(code.co_filename), frame.f_lineno
    _places[key] = code, place
    return place


def _fallback(frame: FrameType | None) -> Place | None:
    """The innermost place in the outermost of the installed packages, or in a program of wavetank's own."""
    package: str | None = None
    found: Place | None = None
    shown: Place | None = None
    shared = False
    while frame is not None:
        file = frame.f_code.co_filename
        kind = kind_of(frame)
        if kind == "loop" and frame.f_code.co_name in _LOOPS:
            break
        if kind == "installed":
            name = name_of_file(file)
            top = name.partition("/")[0]
            if top not in _RUNNERS and top != package:
                package, found = top, (name, frame.f_lineno)
        elif kind == "shown" and (shown is None or (shared and not file.endswith(_SHARED))):
            # The specimen's own line says more than that of what all specimens share.
            shown, shared = (name_of_file(file), frame.f_lineno), file.endswith(_SHARED)
        frame = frame.f_back
    return shown or found


def place_of_error(error: BaseException) -> Place | None:
    """Where an error was raised, as far as the program's own frames go."""
    found: FrameType | None = None
    line = 0
    at: TracebackType | None = error.__traceback__
    while at is not None:
        kind = kind_of(at.tb_frame)
        if kind == "own" or (kind in ("installed", "shown") and found is None):
            found, line = at.tb_frame, at.tb_lineno
        at = at.tb_next
    return None if found is None else (name_of_file(found.f_code.co_filename), line)


# -- files -----------------------------------------------------------------------------------------


def kind_of(frame: FrameType) -> Kind:
    """Whose file a frame is in."""
    file = frame.f_code.co_filename
    kind = _kinds.get(file)
    if kind is None:
        if file.startswith("<"):
            return _kind_of_text(file, frame)  # one name for many texts: not kept
        kind = _kinds[file] = _kind_of_file(file)
    return kind


def _kind_of_text(name: str, frame: FrameType) -> Kind:
    """Of what was compiled from a text: as the module it was made in, which may be a library's."""
    module = frame.f_globals.get("__file__")
    if name.startswith("<frozen"):
        return "hidden"
    if not isinstance(module, str):
        return "own"
    kind = _kinds.get(module)
    if kind is None:
        kind = _kinds[module] = _kind_of_file(module)
    return kind


def _kind_of_file(file: str) -> Kind:
    if file.startswith(_SHOWN):
        return "shown"
    if file.startswith(_PACKAGE):
        return "loop" if file.endswith(("asyncio_loop.py", f"sim{os.sep}ended.py")) else "hidden"
    if any(part in file for part in _INSTALLED):
        return "loop" if file.endswith(f"{os.sep}trio{os.sep}_core{os.sep}_run.py") else "installed"
    if file.startswith(_STANDARD):
        return "loop" if file.endswith(("base_events.py", "threading.py")) else "hidden"
    return "hidden" if file.startswith(_SCRIPTS) else "own"


def name_of_file(file: str) -> str:
    """A file as logs and reports name it: relative to the project or to where its package lies."""
    name = _names.get(file)
    if name is None:
        name = _names[file] = _named(file)
    return name


def source_of(place: Place) -> str:
    """The line of the program at a place, as far as its file was named before and can be read; else empty."""
    file = _file_named(place[0])
    return "" if file is None else linecache.getline(file, place[1]).strip()


def is_own(place: Place) -> bool:
    """Whether a place whose file was named before is the user's own."""
    file = _file_named(place[0])
    return file is not None and _kinds.get(file, _kind_of_file(file)) == "own"


def is_own_file(file: str) -> bool:
    """Whether a file is the user's own: not of wavetank, the standard library or an installed package."""
    return _kind_of_file(file) == "own"


def _file_named(name: str) -> str | None:
    return next((file for file, known in _names.items() if known == name), None)


def _named(file: str) -> str:
    if file.startswith("<"):
        return file
    if _NOTEBOOK in file:
        return "<notebook>"
    for part in _INSTALLED:
        if part in file:
            return _posix(file.rpartition(part)[2])
    if file.startswith(_PACKAGE):
        return _posix(os.path.relpath(file, os.path.dirname(os.path.dirname(_PACKAGE))))
    folders = [_project_folder(), *(os.path.abspath(entry) for entry in sys.path if entry)]
    path = os.path.abspath(os.path.join(_STARTED_IN, file))
    for folder in folders:
        if path.startswith(os.path.join(folder, "")):
            return _posix(os.path.relpath(path, folder))
    return os.path.basename(path)


def _project_folder() -> str:
    if not _project:
        _project.append(_marked_folder(_STARTED_IN))
    return _project[0]


def _marked_folder(start: str) -> str:
    """The nearest folder from here upwards that has a project's marks, else this one."""
    for folder in (start, *map(str, PurePath(start).parents)):
        if any(os.path.exists(os.path.join(folder, mark)) for mark in _MARKS):
            return folder
    return start


def _posix(path: str) -> str:
    return path.replace(os.sep, "/")


# -- who -------------------------------------------------------------------------------------------


def in_real_time() -> Origin:
    """Who calls in the machine's own time, and where: the task of the running loop, else the thread."""
    return origin_of(_real_task() or threading.current_thread().name, place_of_frame(sys._getframe(1)))


def _real_task() -> str | None:
    if events._get_running_loop() is not None:
        import asyncio

        task = asyncio.current_task()
        return None if task is None else task.get_name()
    trio = sys.modules.get("trio")
    if trio is not None and trio.lowlevel.in_trio_task():
        return str(trio.lowlevel.current_task().name)
    return None
