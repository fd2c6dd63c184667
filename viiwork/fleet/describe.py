"""The fleet in words: for run.json, for the table, for `--json`."""

from __future__ import annotations

import os
import signal
from collections.abc import Mapping, Sequence
from contextlib import suppress

from viiwork.fleet.child import Child, ChildState
from viiwork.fleet.plan import FLOWER_USER, api_url, flower_url
from viiwork.fleet.report import FleetReport, ProcessReport
from viiwork.fleet.restarts import LONGEST_DELAY_S, MAX_QUICK_DEATHS
from viiwork.processes import identity
from viiwork.roster import AWAITS_CARD, AWAITS_MODEL, AWAITS_SERVER, NO_WATTS, WorkerCard
from viiwork.settings import Settings
from viiwork.statedir import StateDir, SupervisorRecord

FLOWER_SECRET = "flower.secret"  # noqa: S105 - a file's name


def supervisor_record(settings: Settings, children: Sequence[Child], *, drained: Mapping[str, str]) -> SupervisorRecord:
    """What run.json tells a second terminal."""
    return SupervisorRecord(
        pid=os.getpid(),
        identity=identity(os.getpid()) or "",
        api_url=api_url(settings),
        flower_url=flower_url(settings),
        children=tuple(child.record() for child in children),
        drained=dict(drained),
        devices=settings.devices.spec,
        engine=settings.engine.kind,
    )


def fleet_report(
    settings: Settings, children: Sequence[Child], *, server: ProcessReport | None, cards: Mapping[int, WorkerCard]
) -> FleetReport:
    """What runs where."""
    flower, root = flower_url(settings), StateDir(settings.state_dir).root
    rows, login = [server] if server is not None else [], settings.flower.login_file
    return FleetReport(
        fleet=settings.fleet.name,
        state_dir=str(root),
        pid=os.getpid(),
        api_url=api_url(settings),
        flower_url=flower,
        flower_user=FLOWER_USER if flower and login is None else "",
        flower_password_file=str(login or root / FLOWER_SECRET) if flower else "",
        processes=(*rows, *(_row(child, cards.get(child.pid)) for child in children)),
    )


def _row(child: Child, card: WorkerCard | None) -> ProcessReport:
    told = {"engine": card.engine, "model": card.model, "slots": card.slots} if card is not None else {}
    if card is not None and card.engine_state.startswith((AWAITS_CARD, AWAITS_SERVER, AWAITS_MODEL, NO_WATTS)):
        told["state"] = card.engine_state
    return ProcessReport.model_validate({**child.record().model_dump(), **told})


def death_notice(child: Child, returncode: int) -> str:
    """What is said of a process that ended; empty for one that was stopped, or that is known to die again and again."""
    name, how, deaths = child.spec.name, ending(returncode), child.restarts.quick_deaths
    words = f": {child.last_words()}" if deaths else ""
    if child.state is ChildState.FAILED:
        return f"{name} is given up{words} (see {child.log})"
    if child.state is not ChildState.RESTARTING or deaths > MAX_QUICK_DEATHS:
        return ""
    if child.restarts.slow:
        slowly = f"ended {deaths} times in a row ({how}) and is tried again every {LONGEST_DELAY_S:.0f} s"
        return f"{name} {slowly}{words} (see {child.log})"
    return f"{name} ended ({how}) and is started again{words}"


def ending(returncode: int) -> str:
    """How a process ended: `exit code 1`, `SIGKILL`."""
    if returncode >= 0:
        return f"exit code {returncode}"
    with suppress(ValueError):
        return signal.Signals(-returncode).name
    return f"signal {-returncode}"
