"""A network namespace with no way out, for tests; Linux wants root or user namespaces for one."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
WAYS = (("unshare", "--net"), ("unshare", "--map-root-user", "--net"))
KEPT_IN = {"job", "batch", "file"}
"""Kinds of keys that may hold what documents, prompts and names say: records, which go with what they are of."""


def sealing() -> tuple[str, ...] | None:
    """How a process gets a network of its own here; None if it cannot."""
    for way in WAYS if shutil.which("unshare") else ():
        if subprocess.run([*way, "true"], capture_output=True, check=False).returncode == 0:
            return way
    return None


def sealed_day(folder: Path, *engine: str, environ: Mapping[str, str] | None = None) -> dict[str, Any]:
    """What one day in there was like; `engine` are words of `viiwork up`. Skips the test where it cannot be."""
    way = sealing()
    if way is None:
        pytest.skip("network namespaces need root or user namespaces")
    argv = [*way, sys.executable, "-m", "tests.sealed_day", str(folder), *engine]
    path = {"PYTHONPATH": os.pathsep.join((str(ROOT), os.environ.get("PYTHONPATH", "")))}
    env = {**os.environ, **path, **(environ or {})}
    ended = subprocess.run(argv, cwd=ROOT, env=env, capture_output=True, text=True, timeout=240, check=False)
    assert ended.returncode == 0, ended.stderr
    found: dict[str, Any] = json.loads(ended.stdout.splitlines()[-1])
    return found
