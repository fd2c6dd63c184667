"""Whether a ready engine still does its work: looks a second apart become a judgement. Pure."""

from __future__ import annotations

from dataclasses import dataclass, replace

from viiwork_workers.engines.guard_frames import Busy, Load
from viiwork_workers.engines.guard_probe import Standing
from viiwork_workers.engines.hang import Hang

LONGEST_GAP_S = 10.0
"""Looks further apart mean that the guard itself was stopped: that time is nobody's fault."""
STALE_S = 10.0
"""A worker that says nothing for so long is no witness."""


@dataclass(frozen=True, slots=True)
class Look:
    """What one look saw."""

    at_s: float
    standing: Standing
    load: Load | None = None
    busy: Busy | None = None
    """What the worker said last, unless that is stale."""


@dataclass(frozen=True, slots=True)
class Watch:
    """What the looks so far have shown. Time is counted in looks, so that a guard that was stopped counts none."""

    hang: Hang
    clock_s: float = 0.0
    answered_s: float = 0.0
    """When its health page answered last."""
    at_s: float | None = None
    counted: int = 0
    """By the engine itself: its tokens, or what else its recipe calls progress."""
    received_bytes: int = 0
    moves: int = 0
    """How often something came."""

    @classmethod
    def of(cls, hang_s: float) -> Watch:
        return cls(Hang(hang_s))

    def after(self, look: Look) -> Watch:
        """The record after one more look."""
        gap_s = 0.0 if self.at_s is None else look.at_s - self.at_s
        clock_s = self.clock_s + min(gap_s, LONGEST_GAP_S)
        counted = _counted(look.load) if look.load is not None else self.counted
        received_bytes = look.busy.received_bytes if look.busy is not None else self.received_bytes
        # Bytes count only where the engine has no count of its own: some send signs of life that mean nothing.
        moved = counted != self.counted or (not counted and received_bytes != self.received_bytes)
        moves = self.moves + moved
        running = max(look.busy.running if look.busy is not None else 0, look.load.running if look.load else 0)
        return replace(
            self,
            hang=self.hang.after(now_s=clock_s, running=running, progress=moves),
            clock_s=clock_s,
            answered_s=clock_s if look.standing == "up" else self.answered_s,
            at_s=look.at_s,
            counted=counted,
            received_bytes=received_bytes,
            moves=moves,
        )

    @property
    def why(self) -> str:
        """What is wrong with it; empty when nothing is."""
        if self.hang.hung(self.clock_s):
            return f"nothing came from the engine for {self.hang.hang_s:g} s while requests ran"
        if self.hang.still_since_s is None and self.clock_s - self.answered_s >= self.hang.hang_s:
            return f"the engine did not answer for {self.hang.hang_s:g} s"
        return ""


def _counted(load: Load) -> int:
    """0 where it counts nothing: after the first canary it would have."""
    return load.progress or load.prompt_tokens + load.output_tokens
