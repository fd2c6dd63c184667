"""What the guard of an engine writes down, for whoever has to end it and its engine after a crash."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from pydantic import ValidationError

from viiwork.containers.client import Client
from viiwork.wire import Wire

ROOM = "engines"
"""The folder of a state directory that has a record for each worker with a guard: `gpu0.json`."""
ENGINE_OF = "VIIWORK_ENGINE_OF"
"""Carried by every process of an engine: `<state directory>:<worker>`. What a crash left behind is found by it, unless
the process has written over its own environment, as those do that give themselves a title."""
STOP_GRACE_S = 60.0
"""For an engine of which nobody knows how long it may take: a killed one can wedge its card."""

Person = tuple[int, str]
"""A process id, and what no later process of that number has."""


class GuardRecord(Wire):
    """The guard, and the processes of its engine, each with what no later process of its number has."""

    guard: Person
    people: tuple[Person, ...] = ()
    stop_grace_s: float = STOP_GRACE_S
    client: Client | None = None
    """What runs the engine's container, if it has one: it is found by its label."""


def record_file(state_dir: Path, worker: str) -> Path:
    """Where the guard of this worker writes."""
    return state_dir / ROOM / f"{worker}.json"


def read_record(path: Path) -> GuardRecord | None:
    """What was written last; None when there is nothing, or nothing that can be read."""
    with suppress(OSError, ValidationError):
        return GuardRecord.model_validate_json(path.read_bytes())
    return None


def read_records(state_dir: Path) -> dict[str, GuardRecord]:
    """All of a state directory, by worker; those of guards that are long gone too."""
    paths = sorted((state_dir / ROOM).glob("*.json"))
    found = ((path.stem, read_record(path)) for path in paths)
    return {worker: record for worker, record in found if record is not None}
