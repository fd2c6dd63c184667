"""What follows from how an engine's lives end: started again after a pause, or given up. Pure."""

from __future__ import annotations

import signal
from dataclasses import dataclass, field, replace
from typing import Literal

from viiwork_workers.engines.deaths import Deaths
from viiwork_workers.engines.guard.frames import FaultOf
from viiwork_workers.engines.guard.known import Known

How = Literal["died", "hung", "late", "broken", "garbage", "away", "unserved"]
"""died: the process ended, or says itself that it is broken; late: it was not ready in time; broken: it answered the
canary with an error; garbage: with what makes no sense; away: a server that somebody else runs does not answer;
unserved: such a server answers, and lists other models than ours."""
OF_OTHERS = ("away", "unserved")
"""What somebody else may mend at any time: it is looked at again and never given up."""
MANY_QUICK = 5
"""Quick deaths in a row after which an engine is given up."""
MANY_GARBAGE = 2
MANY_LATE = 2
"""Starts that were not ready in time: the time-out is 15 minutes, five of them are more than an hour."""
MANY_PORTS = 3
"""So many taken ports, since the engine served last, are no bad luck."""
PORT_TAKEN = "port-taken"
STRUCK = frozenset({-signal.SIGKILL, -signal.SIGSEGV, -signal.SIGBUS})
"""Exit codes of a process that did not end itself: what its log said before explains nothing for sure."""


@dataclass(frozen=True, slots=True)
class Fall:
    """How one life ended, in our own words."""

    how: How
    why: str
    advice: str = ""
    served_s: float = 0.0
    was_ready: bool = False
    hopeless: bool = False
    """Started again it would end the same way."""
    port_taken: bool = False
    fault_of: FaultOf = ""
    was_told: bool = False
    """Somebody ended it gently: what its log says of that (vLLM: that its core died) is no trouble."""
    struck: bool = False
    """A signal ended it that no engine sends to itself, such as the kernel's when memory runs out."""

    def known_as(self, known: Known | None) -> Fall:
        """The same, by what the engine's log says of it."""
        if known is None:
            return self
        taken, hopeless = known.id == PORT_TAKEN, not known.transient and not self.struck
        return replace(self, why=known.what, advice=known.advice, hopeless=hopeless, port_taken=taken)


@dataclass(frozen=True, slots=True)
class Course:
    """One engine's lives so far, since a person looked last."""

    deaths: Deaths = field(default_factory=Deaths)
    canaries: int = 0
    """Failed ones in a row."""
    lates: int = 0
    """Starts that were not ready in time, since it was ready last."""
    ports: int = 0
    """Taken ones since its text made sense last: a death between them begins no new count."""
    at_once: bool = False
    """Whether the next start waits for nothing."""
    ever_ready: bool = False
    given_up: bool = False

    def after(self, fall: Fall, *, pace: float = 1.0) -> Course:
        """The record after one more end. `pace` shortens what counts as a quick death; 0: none does."""
        ever_ready = self.ever_ready or fall.was_ready
        if fall.port_taken and self.ports < MANY_PORTS:
            return replace(self, ports=self.ports + 1, ever_ready=ever_ready, at_once=True)
        deaths = self.deaths.after(served_s=fall.served_s / pace if pace else float("inf"))
        canaries = self.canaries + 1 if fall.how in ("garbage", "broken") else self.canaries
        lates = self.lates + 1 if fall.how == "late" else 0
        seen = Course(deaths, canaries, lates, self.ports, ever_ready=ever_ready)
        return replace(seen, given_up=seen._is_over(fall))

    def _is_over(self, fall: Fall) -> bool:
        if fall.how in OF_OTHERS:
            return False
        quick = self.deaths.quick >= MANY_QUICK or self.lates >= MANY_LATE
        return quick or self.canaries >= MANY_GARBAGE or (fall.hopeless and not self.ever_ready)

    def sane(self) -> Course:
        """After a canary that made sense."""
        return replace(self, canaries=0, ports=0)

    def again(self) -> Course:
        """After a person has looked: the engine has all its chances again."""
        return Course(Deaths(total=self.deaths.total))

    @property
    def pause_s(self) -> float:
        """Before the next start; none when only the port was taken."""
        return 0.0 if self.at_once else self.deaths.pause_s
