"""Where an engine stands: one phase, told at every change to the worker and to the guard's log."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from viiwork_workers.engines.guard.frames import Load, Phase, Stage
from viiwork_workers.engines.guard.log import Diary

Tell = Callable[[Phase | Load], None]
NO_REASONS = {
    **{"url": "", "key": "", "model": "", "why": "", "advice": "", "fault_of": ""},
    **{"awaits_turn": False, "away": False, "unserved": False},
}


class Board:
    """Keeps what carries over from one stage to the next: the number of the life, and the deaths."""

    def __init__(self, tell: Tell, diary: Diary) -> None:
        self._tell = tell
        self._diary = diary
        self._phase = Phase(stage="starting")
        self._since_s = time.monotonic()
        self._load: Load | None = None
        """What was told last of how loaded it is."""

    @property
    def phase(self) -> Phase:
        """As it stands now."""
        return self._phase.model_copy(update={"since_s": round(time.monotonic() - self._since_s, 3)})

    @property
    def stage(self) -> Stage:
        return self._phase.stage

    def move(self, stage: Stage, **changes: Any) -> None:
        """To a stage; what is said of its reasons and its address is said anew each time."""
        before = self._phase
        self._phase = before.model_copy(update={**NO_REASONS, **changes, "stage": stage})
        if stage != before.stage:
            self._since_s = time.monotonic()
        if self._phase != before:
            self._load = None
            self._diary.note(_noted(self._phase))
            self._tell(self.phase)

    def load(self, load: Load) -> None:
        """Tell how loaded it is, if that was not told already."""
        if load != self._load:
            self._load = load
            self._tell(load)

    def again(self) -> Phase:
        """Where it stands, for whoever may not have heard; the load is told at the next look."""
        self._load = None
        return self.phase


def _noted(phase: Phase) -> str:
    pid = f", pid {phase.pid}" if phase.pid else ""
    why = f": {phase.why}" if phase.why else ""
    return f"{phase.stage} (life {phase.life}{pid}){why}"
