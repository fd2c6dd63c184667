"""`python -P -m viiwork_workers.engines.guard STATE_DIR WORKER`: keeps one worker's engine, and outlives the worker.

It has a session of its own, inherits what its engine leaves behind, and ends nothing of its engine by ending itself
badly: what a killed guard leaves is ended by the next one, by its record.
"""

from __future__ import annotations

import asyncio
import os
import time
from argparse import ArgumentParser
from collections.abc import Mapping, Sequence
from pathlib import Path

from viiwork.processes import SUPERVISED_BY
from viiwork_workers.engines.guard.files import ENGINE_OF, GuardFiles, GuardLock
from viiwork_workers.engines.guard.guard import Guard
from viiwork_workers.engines.guard.litter import clean_folder, remove
from viiwork_workers.engines.guard.log import Diary

LOCK_S = 120.0
"""For so long a former guard may take to end its engine."""
LOCK_POLL_S = 0.05


async def _locked(files: GuardFiles) -> GuardLock | None:
    """The right to be this worker's guard, once the former one has ended."""
    lock = GuardLock(files.lock)
    deadline = time.monotonic() + LOCK_S
    while not lock.take():
        if time.monotonic() > deadline:
            return None
        await asyncio.sleep(LOCK_POLL_S)
    return lock


async def _guard(files: GuardFiles, *, marks: Mapping[str, str], pace: float) -> int:
    lock = await _locked(files)
    if lock is None:
        Diary(files.diary).note("another guard of this worker runs; this one ends")
        return 1
    folder = clean_folder(files.mark)
    try:
        await Guard(files, marks={**marks, **({"TMPDIR": str(folder)} if folder else {})}, pace=pace).run()
    finally:
        if folder is not None:
            remove(folder)
    return 0


def main(argv: Sequence[str], environ: Mapping[str, str]) -> int:
    """Its exit code."""
    parser = ArgumentParser(prog="viiwork-guard")
    parser.add_argument("state_dir", type=Path)
    parser.add_argument("worker")
    parser.add_argument("--pace", type=float, default=1.0, help="of pauses between restarts, for tests")
    asked = parser.parse_args(argv)
    files = GuardFiles.of(asked.state_dir, asked.worker)
    files.prepare()
    os.chdir(files.room)  # the path of a socket may have 108 bytes; and no module is imported from where people work
    marks = {ENGINE_OF: files.mark}
    marks |= {SUPERVISED_BY: environ[SUPERVISED_BY]} if SUPERVISED_BY in environ else {}
    return asyncio.run(_guard(files, marks=marks, pace=asked.pace))
