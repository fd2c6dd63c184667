"""What a guard writes down about the processes it answers for, and the sweep of what a killed one left behind."""

from __future__ import annotations

import os
from contextlib import suppress

from viiwork import guardrecord
from viiwork.containers.container import ENGINE
from viiwork.containers.sweep import end, find
from viiwork.processes import is_alive, tagged
from viiwork.statedir import write_private
from viiwork_workers.engines.guard.files import ENGINE_OF, GuardFiles
from viiwork_workers.engines.guard.tree import Person, end_all

GuardRecord = guardrecord.GuardRecord


def read_record(files: GuardFiles) -> GuardRecord | None:
    """What was written last; None when there is nothing, or nothing that can be read."""
    return guardrecord.read_record(files.record)


def write_record(files: GuardFiles, record: GuardRecord) -> None:
    """Replace it in one step. A full disk must not end an engine that runs: the mark in its environment is left."""
    with suppress(OSError):
        write_private(files.record, record.model_dump_json() + "\n")


def forget_record(files: GuardFiles) -> None:
    """There is nothing left to answer for."""
    with suppress(OSError):
        files.record.unlink(missing_ok=True)


def end_containers(files: GuardFiles) -> list[str]:
    """Those of a guard that is gone, by its record and their label; whoever calls holds the guard's lock."""
    record = read_record(files)
    if record is None or record.client is None:
        return []
    ids = find(record.client, ENGINE, files.mark, keep=lambda _: False)
    end(record.client, ids, grace_s=record.stop_grace_s)
    return ids


def left_behind(files: GuardFiles) -> list[Person]:
    """What still runs of an engine whose guard is gone: by the record, and by the mark in the environment."""
    record = read_record(files)
    recorded = [person for person in record.people if is_alive(*person)] if record is not None else []
    people = dict.fromkeys([*recorded, *tagged(ENGINE_OF, files.mark)])
    return [person for person in people if person[0] != os.getpid()]


async def sweep(files: GuardFiles, *, grace_s: float | None = None) -> list[Person]:
    """End what was left behind; answers who was there."""
    present = left_behind(files)
    if not present:
        return []
    if grace_s is None:
        record = read_record(files)
        grace_s = record.stop_grace_s if record is not None else guardrecord.STOP_GRACE_S
    known = dict.fromkeys(present)
    await end_all(lambda: [person for person in known if is_alive(*person)], grace_s=grace_s)
    await end_all(lambda: left_behind(files), grace_s=grace_s)  # what they started meanwhile
    return present
