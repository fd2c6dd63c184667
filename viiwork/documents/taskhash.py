"""What names the request that an analysis makes of each document: two runs with one hash have asked the same."""

from __future__ import annotations

import hashlib
import json
from importlib.resources import files

from viiwork.documents.tasks import SYSTEM
from viiwork.work import AnalysisTask, TaskOptions


def task_hash(task: AnalysisTask, options: TaskOptions) -> str:
    """SHA-256 of the task's file, the words around it and the options that are not left at their defaults."""
    words = files("viiwork.documents").joinpath("tasks", f"{task.value}.toml").read_bytes()
    said = options.model_dump(mode="json", exclude_defaults=True)
    asked = json.dumps([task.value, said], sort_keys=True, ensure_ascii=True, separators=(",", ":"))
    return hashlib.sha256(b"\0".join((words, SYSTEM.encode(), asked.encode()))).hexdigest()
