"""What installed packages add, for `pytest --help`."""

from __future__ import annotations

from collections.abc import Iterator

from ..extensions import ExtensionError


def added_names() -> Iterator[str]:
    """A line for each registry that packages add to, or for what is wrong with what they add."""
    from ..checks.check_selection import ADDED as CHECKS
    from ..fault_kinds import ADDED as FAULTS
    from ..provider.vendor_registry import ADDED as VENDORS
    from ..report.files import ADDED as WRITERS
    from ..sim.policies import ADDED as POLICIES

    for registry in (CHECKS, POLICIES, FAULTS, VENDORS, WRITERS):
        try:
            names = registry.names()
        except ExtensionError as error:
            yield f"wavetank: {error}"
            continue
        if names:
            yield f"wavetank: added by installed packages to {registry.group}: {', '.join(names)}"
