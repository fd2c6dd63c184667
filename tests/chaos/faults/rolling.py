"""Every worker replaced in turn, while all goes on."""

from __future__ import annotations

import asyncio
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

from tests.chaos.load import Load
from tests.chaos.stage import Stage
from tests.workers import ROOT

FROM = "VIIWORK_CHAOS_FROM"
"""The version that a fleet is upgraded from; without it the commit before this one."""


@dataclass(frozen=True, slots=True)
class RollingRestart:
    """SIGTERM to one worker after the other; the next one goes when the last one is back."""

    name: str = "rolling restart"

    async def strike(self, stage: Stage, load: Load) -> None:
        stage.code = ROOT
        for name in stage.names:
            await stage.busy(*stage.names)
            await stage.note(name)
            stage.fleet.terminate(name)
            assert await asyncio.to_thread(stage.fleet.bury, name) == 0, stage.fleet.log(name)[-2000:]
            stage.start(name)
            await stage.joined(name)


def earlier_code(folder: Path) -> tuple[Path | None, str]:
    """The project as it was one version ago, and which version that is; or why it cannot be had."""
    version = os.environ.get(FROM, "HEAD~1")
    named = subprocess.run(
        ["git", "rev-parse", "--short", version], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if named.returncode != 0:
        return None, f"there is no git history to take {version} from"
    archive = subprocess.run(["git", "archive", version], cwd=ROOT, capture_output=True, check=True)
    folder.mkdir(parents=True)
    subprocess.run(["tar", "-x", "-C", str(folder)], input=archive.stdout, check=True)
    return folder, named.stdout.strip()
