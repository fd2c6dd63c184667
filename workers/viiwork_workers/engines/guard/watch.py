"""Whether a ready engine still does its work: looks a second apart become a judgement. Pure."""

from __future__ import annotations

from dataclasses import dataclass, replace

from viiwork_workers.engines.guard.frames import Busy, Load
from viiwork_workers.engines.guard.hang import Hang
from viiwork_workers.engines.guard.probe import Standing

LONGEST_GAP_S = 10.0
"""Looks further apart mean that the guard itself was stopped: that time is nobody's fault."""
STALE_S = 10.0
"""A worker that says nothing for so long is no witness."""
WORK_SHARE = 0.25
"""Of one processor's time. To answer our own looks takes a hundredth; a process that computes, or waits for a card that
does, takes one processor or more."""
PATIENCE = 5
"""An engine that computes and says nothing gets so many times `hang_s`: one long prompt is quiet, and so is a lost
card, whose driver spins."""
MANY_UNWELL = 2


@dataclass(frozen=True, slots=True)
class Look:
    """What one look saw."""

    at_s: float
    standing: Standing
    load: Load | None = None
    busy: Busy | None = None
    """What the worker said last, unless that is stale."""
    cpu_s: float | None = None
    """Processor time that the engine's processes have taken so far; None where that is not known."""


@dataclass(frozen=True, slots=True)
class Watch:
    """What the looks so far have shown. Time is counted in looks, so that a guard that was stopped counts none."""

    hang: Hang
    longest: Hang
    """The same, without what merely computes."""
    ours: bool
    """Whether the worker is its only client."""
    clock_s: float = 0.0
    answered_s: float = 0.0
    """When its health page answered last."""
    at_s: float | None = None
    counted: int = 0
    """By the engine itself: its tokens, or what else its recipe calls progress."""
    received_bytes: int = 0
    cpu_s: float | None = None
    moves: int = 0
    """How often something came."""
    efforts: int = 0
    """How often it was seen to compute."""
    unwell: int = 0
    """Looks in a row at which its health page said that it cannot work."""

    @classmethod
    def of(cls, hang_s: float, *, ours: bool = True) -> Watch:
        """Of an engine that has just been found to work."""
        return cls(Hang(hang_s), Hang(PATIENCE * hang_s), ours)

    def after(self, look: Look) -> Watch:
        """The record after one more look."""
        gap_s = 0.0 if self.at_s is None else look.at_s - self.at_s
        clock_s = self.clock_s + min(gap_s, LONGEST_GAP_S)
        moves = self.moves + self._moved(look)
        efforts = self.efforts + self._worked(look, gap_s)
        running = self._running(look)
        return replace(
            self,
            hang=self.hang.after(now_s=clock_s, running=running, progress=moves + efforts),
            longest=self.longest.after(now_s=clock_s, running=running, progress=moves),
            clock_s=clock_s,
            answered_s=clock_s if look.standing == "up" else self.answered_s,
            at_s=look.at_s,
            counted=_counted(look.load) or self.counted,
            received_bytes=look.busy.received_bytes if look.busy is not None else self.received_bytes,
            cpu_s=look.cpu_s,
            moves=moves,
            efforts=efforts,
            unwell=self.unwell + 1 if look.standing in ("loading", "odd", "refused") else 0,
        )

    @property
    def why(self) -> str:
        """What is wrong with it; empty when nothing is."""
        for hang in (self.hang, self.longest):
            if hang.hung(self.clock_s):
                return f"nothing came from the engine for {hang.hang_s:g} s while requests ran"
        if self.hang.still_since_s is None and self.clock_s - self.answered_s >= self.hang.hang_s:
            return f"the engine did not answer for {self.hang.hang_s:g} s"
        return ""

    @property
    def sick(self) -> bool:
        """Whether it says itself that it cannot work: one odd answer may be chance."""
        return self.unwell >= MANY_UNWELL

    def _moved(self, look: Look) -> bool:
        """Bytes count only where the engine has no count of its own: some send signs of life that mean nothing."""
        if counted := _counted(look.load):
            return counted != self.counted
        return look.busy is not None and look.busy.received_bytes != self.received_bytes

    def _worked(self, look: Look, gap_s: float) -> bool:
        if look.cpu_s is None or self.cpu_s is None or gap_s <= 0:
            return False
        return look.cpu_s - self.cpu_s >= WORK_SHARE * gap_s

    def _running(self, look: Look) -> int:
        """An engine of ours may leak a request into its own count."""
        asked = look.busy.running if look.busy is not None else 0
        return asked if self.ours or look.load is None else max(asked, look.load.running)


def _counted(load: Load | None) -> int:
    """0 where it counts nothing: after the first canary it would have."""
    return 0 if load is None else load.progress or load.prompt_tokens + load.output_tokens
