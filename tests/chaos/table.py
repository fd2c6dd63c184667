"""The table of faults, for people and as JSON."""

from __future__ import annotations

import json
import os
import platform
import subprocess
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

HEAD = ("fault", "workers", "jobs", "hit", "again", "recovery p50 / max", "longest wait", "lost", "doubled")


@dataclass(frozen=True, slots=True)
class Row:
    """What one fault did. Recovery is from the fault to the next attempt of a job that it interrupted."""

    fault: str
    workers: int
    jobs: int
    hurt: int
    again: int
    recovery_p50_s: float | None
    recovery_max_s: float | None
    longest_wait_s: float | None
    """Of the interactive jobs, from submission to start."""
    lost: int
    doubled: int
    notice: str = ""


def as_markdown(rows: Sequence[Row]) -> str:
    """The table as it stands in docs/reliability.md."""
    lines = ["| " + " | ".join(HEAD) + " |", "| --- |" + " --: |" * (len(HEAD) - 1)]
    return "\n".join([*lines, *(_line(row) for row in rows)])


def _line(row: Row) -> str:
    recovery = "-" if row.recovery_p50_s is None else f"{row.recovery_p50_s:.1f} / {row.recovery_max_s:.1f} s"
    name = f"{row.fault} ({row.notice})" if row.notice else row.fault
    wait = "-" if row.longest_wait_s is None else f"{row.longest_wait_s:.1f} s"
    cells = (name, row.workers, f"{row.jobs:,}", row.hurt, row.again, recovery, wait, row.lost, row.doubled)
    return "| " + " | ".join(map(str, cells)) + " |"


def write_json(path: Path, rows: Sequence[Row], not_run: Sequence[str]) -> None:
    """The same with where and when it was measured."""
    about = {
        "measured": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": commit(),
        "python": platform.python_version(),
        "cores": os.cpu_count(),
    }
    told = {**about, "rows": [asdict(row) for row in rows], "not_run": list(not_run)}
    path.write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")


def commit() -> str:
    """The commit that was measured; empty outside a repository."""
    asked = subprocess.run(["git", "describe", "--always", "--dirty"], capture_output=True, text=True, check=False)
    return asked.stdout.strip()
