"""What installed packages add: the objects of entry points, found by their names.

To read the entry points of all packages takes as long as to start pytest, so they are read when a name is
not one of wavetank's own, or when all are listed.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import TYPE_CHECKING, Final, TypeVar, final

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

T = TypeVar("T")


class ExtensionError(ValueError):
    """What an installed package adds cannot be used; the text names the package and the way out."""


@final
class Extensions:
    """What packages add to one registry, by the names of their entry points.

    Args:
        group: the group of the entry points, such as `wavetank.checks`.
        thing: what one of them is, in a word, for messages.
        own: the names that wavetank has itself, which a package may not use.
    """

    def __init__(self, group: str, thing: str, own: Callable[[], Collection[str]]) -> None:
        self.group: Final = group
        self.thing: Final = thing
        self._own = own
        self._points: dict[str, list[EntryPoint]] | None = None
        self._loaded: dict[str, object] = {}

    def names(self) -> tuple[str, ...]:
        """All names, sorted; nothing is loaded.

        Raises:
            ExtensionError: a package uses a name of wavetank's own.
        """
        return tuple(self._read())

    def load(self, name: str, fits: Callable[[object], bool], wanted: str) -> object:
        """What a name stands for; it is loaded once.

        Args:
            name: one of `names`.
            fits: whether an object is of the right kind.
            wanted: what it has to be, in words.

        Raises:
            ExtensionError: it cannot be loaded, it does not fit, or two packages use the name.
        """
        if name not in self._loaded:
            self._loaded[name] = self._load(self._sole(name), fits, wanted)
        return self._loaded[name]

    def refused(self, name: str, why: str) -> ExtensionError:
        """The error for what a package adds by this name."""
        point = self._read()[name][0]
        return ExtensionError(
            f"the {self.thing} {name!r} of the package {_package(point)} cannot be used: {why}; "
            f"correct its entry point {point.value!r} of the group {self.group}, or uninstall the package"
        )

    def _load(self, point: EntryPoint, fits: Callable[[object], bool], wanted: str) -> object:
        try:
            loaded = point.load()
        except Exception as error:
            raise self.refused(point.name, f"{type(error).__name__}: {error}") from error
        if not fits(loaded):
            raise self.refused(point.name, f"it is {_shown(loaded)}, and has to be {wanted}")
        return loaded

    def _sole(self, name: str) -> EntryPoint:
        point, *others = self._read()[name]
        if others:
            packages = " and ".join(_package(each) for each in (point, *others))
            raise ExtensionError(
                f"there are two of the {self.thing} {name!r}, in the packages {packages}: "
                "uninstall one of them, or have it renamed"
            )
        return point

    def _read(self) -> dict[str, list[EntryPoint]]:
        if self._points is None:
            from importlib.metadata import entry_points

            found: dict[str, list[EntryPoint]] = {}
            for point in sorted(entry_points(group=self.group), key=lambda each: (each.name, each.value)):
                found.setdefault(point.name, []).append(point)
            for name in found.keys() & self._own():
                raise ExtensionError(
                    f"wavetank has a {self.thing} {name!r} itself, and the package "
                    f"{_package(found[name][0])} has one, too: uninstall the package, or have it renamed"
                )
            self._points = found
        return self._points


def _package(point: EntryPoint) -> str:
    return "?" if point.dist is None else f"{point.dist.name} {point.dist.version}"


def _shown(value: object) -> str:
    return f"the class {value.__name__}" if isinstance(value, type) else f"of the type {type(value).__name__}"
