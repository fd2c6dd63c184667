"""The fleet that runs on this computer, and which cards it goes by, as its supervisor wrote down."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from viiwork.devices.choose import SIMULATED
from viiwork.processes import is_alive
from viiwork.settings import Settings
from viiwork.statedir import Run, StateDir

MOST = 64
"""State directories that are looked into."""


def running_here(state_dir: Path) -> Run | None:
    """What it wrote down; None where no supervisor of this state directory is alive."""
    run = StateDir(state_dir).read_run()
    alive = run is not None and run.supervisor is not None and is_alive(run.supervisor.pid, run.supervisor.identity)
    return run if alive else None


def simulated_cards(run: Run | None) -> str:
    """Those that it was started with, `simulated:8xRadeonVII`; empty where its cards are real, or it has none."""
    spec = run.supervisor.devices if run is not None and run.supervisor is not None else ""
    return spec if spec.startswith(SIMULATED) else ""


def other_engine(settings: Settings) -> str:
    """The engine of the fleet that runs here, where the settings name another; empty where nobody runs one."""
    run = running_here(settings.state_dir)
    engine = run.supervisor.engine if run is not None and run.supervisor is not None else ""
    return engine if engine != settings.engine.kind else ""


def neighbours_with_cards(state_dir: Path) -> Iterator[tuple[str, str]]:
    """Other fleets that run beside this state directory with simulated cards: the name of each, and its cards."""
    others = (path.parent for path in sorted(state_dir.parent.glob("*/run.json"))[:MOST])
    for place in others:
        run = running_here(place) if place != state_dir else None
        if run is not None and (spec := simulated_cards(run)):
            yield run.fleet, spec
