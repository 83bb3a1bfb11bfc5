"""Engines by name, and what is said when one does not answer or differs."""

from __future__ import annotations

import socket

import pytest

from wavetank import engines
from wavetank.engines import Engine, EngineError, Versions, engine_on, raised_by


@pytest.mark.parametrize("name", ["slurm://a:1", "dask", "dask://", "rays", ""])
def test_an_unknown_engine_is_refused(name: str) -> None:
    """The error has the names that there are."""
    with pytest.raises(EngineError, match="give dask://HOST:PORT, ray, or ray://HOST:PORT"), engine_on(name):
        pass


@pytest.mark.parametrize(("name", "extra"), [("dask://127.0.0.1:1", "dask"), ("ray", "ray")])
def test_a_missing_extra_is_named(name: str, extra: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the command that installs it."""
    monkeypatch.setattr(engines, "find_spec", lambda _: None)
    with pytest.raises(EngineError, match=rf"pip install 'wavetank\[{extra}\]'"), engine_on(name):
        pass


def test_a_scheduler_that_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    """A port that nothing listens at is given up after the limit of time."""
    monkeypatch.setattr(engines, "PATIENCE", 0.2)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
        with (
            pytest.raises(EngineError, match=r"no Dask scheduler answers there within 0\.2 s"),
            engine_on(f"dask://127.0.0.1:{port}"),
        ):
            pass


@pytest.mark.parametrize(
    ("there", "words"),
    [
        (Versions("3.10.2", "1.0"), "w has Python 3.10.2, and the command runs on 3.11.4"),
        (Versions("3.11.9", "0.9"), "w has wavetank 0.9, and the command 1.0: pip install wavetank==1.0"),
    ],
)
def test_other_versions_are_refused(there: Versions, words: str) -> None:
    """The error names both, and how to make them equal."""
    with pytest.raises(EngineError, match=words):
        there.check("w", Versions("3.11.4", "1.0"))


def test_another_patch_release_of_python_fits() -> None:
    """Schedules are the same in all releases of a minor version."""
    Versions("3.11.9", "1.0").check("w", Versions("3.11.4", "1.0"))


def test_an_error_of_the_engine_is_explained() -> None:
    """A worker that cannot import wavetank says what to install; other errors name the engine."""
    engine = Engine("dask://a:1", lambda: 1, lambda: None)  # type: ignore[arg-type,return-value]
    missing = raised_by(engine, ModuleNotFoundError("no", name="wavetank.campaign"))
    assert "dask://a:1: a worker has no wavetank: pip install wavetank==" in str(missing)
    assert "or the engine is gone: lost" in str(raised_by(engine, OSError("lost")))
