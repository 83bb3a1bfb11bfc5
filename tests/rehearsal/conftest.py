"""Programs that are rehearsed in this process, which is quicker than in one of their own."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from wavetank.rehearsal.child import rehearsed
from wavetank.rehearsal.job import Rehearsal
from wavetank.rehearsal.process_trials import ProcessTrials
from wavetank.rehearsal.program import Program
from wavetank.rehearsal.rehearse import Rehearsed
from wavetank.scenario import load_scenario
from wavetank.sim.origin import forget_project
from wavetank.tank.runs.run_options import RunOptions

WAVES = """\
title = "Waves"
latency = { first_token = "250ms" }
[[wave]]
at = "500ms"
lasts = "10s"
retry_after = "10s"
"""

ASK = """\
import httpx, time

client = httpx.Client()

def ask(item, prompt=None, tries=1, named=True):
    for _ in range(tries):
        answer = client.post(
            "https://api.openai.com/v1/chat/completions",
            headers={"authorization": "Bearer k"} | ({"x-wavetank-item": item} if named else {}),
            json={"model": "m", "messages": [{"role": "user", "content": prompt or f"Say {item}."}]},
        )
        if answer.status_code == 200:
            return answer.json()["choices"][0]["message"]["content"]
        time.sleep(float(answer.headers.get("retry-after", 1)))
    return None

"""
"""The beginning of a script that asks an LLM by plain HTTP."""

Rehearse = Callable[..., Rehearsed]


@pytest.fixture
def rehearse(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Rehearse]:
    """Rehearse the source of a script, or a program of another kind, in a folder that has `waves.toml`."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", [*sys.argv])
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.setitem(sys.modules, "__main__", sys.modules["__main__"])
    (tmp_path / "waves.toml").write_text(WAVES)

    def made(program: str | Program, scenario: str = "calm", **given: Any) -> Rehearsed:
        if isinstance(program, str):
            (tmp_path / "script.py").write_text(program)
            program = Program("script", "script.py")
        rehearsal = Rehearsal(program=program, scenario=load_scenario(scenario), **given)
        options = RunOptions(seed=rehearsal.seed, max_virtual_seconds=rehearsal.max_virtual_seconds)
        here = partial(rehearsed, leave=lambda: None, abandoned=lambda _: None)
        trial = ProcessTrials(rehearsal, options, here).run(attentive=True)
        return Rehearsed(run=replace(trial.run, replay="the same again"))

    yield made
    forget_project()
