"""How a kept server stands, as the worker and people see it. Pure."""

from __future__ import annotations

from viiwork.roster import AWAITS_AGAIN, AWAITS_MODEL, AWAITS_SERVER
from viiwork_workers.engines.base import Signals
from viiwork_workers.engines.guard.frames import Load, Phase


def signals_of(phase: Phase, load: Load | None, *, ready: bool, here_s: float, in_flight: int) -> Signals:
    """Its signals, `here_s` seconds after its keeper told of the phase; `ready` when jobs can be sent to it."""
    load = load or Load(running=in_flight)
    return Signals(
        ready=ready and phase.stage == "ready",
        running=load.running,
        waiting=load.waiting,
        kv_use=load.kv_use,
        preemptions=load.preemptions,
        output_tokens=load.output_tokens,
        state=state_of(phase, here_s=here_s),
        restarts=phase.restarts,
        pid=phase.pid,
        version=phase.version,
        failed=_why(phase) if phase.stage == "failed" else "",
    )


def state_of(phase: Phase, *, here_s: float = 0.0) -> str:
    """For people: `loading (35 s)`, `restarting (3 deaths)`, `failed: ...`."""
    if phase.stage == "loading":
        return f"loading ({phase.since_s + here_s:.0f} s)"
    if phase.awaits_turn:
        return AWAITS_AGAIN
    if phase.away:
        return f"{AWAITS_SERVER}: {phase.why}"
    if phase.unserved:
        return f"{AWAITS_MODEL}: {phase.why}"
    if phase.stage == "restarting" and phase.deaths:
        return f"restarting ({phase.deaths} death{'s' if phase.deaths > 1 else ''})"
    return f"failed: {_why(phase)}" if phase.stage == "failed" else phase.stage


def waiting_for(phase: Phase) -> str:
    """Why a job that comes now cannot be taken."""
    state = "away" if phase.away else AWAITS_MODEL if phase.unserved else state_of(phase)  # no address to whoever asks
    return f"the engine takes no jobs now; it is {state}."


def _why(phase: Phase) -> str:
    why = phase.why or "the engine was given up"
    stop = "" if why.endswith((".", "!", "?")) else "."
    return f"{why}{stop} {phase.advice}" if phase.advice else why
