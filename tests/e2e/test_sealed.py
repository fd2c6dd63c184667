"""Nothing leaves the host, and documents show nowhere but where they are kept: a fleet with no way out of its network.

It takes a network namespace, for which Linux wants root or user namespaces; without them it is skipped, and said to be.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
KEPT_IN = {"job", "batch", "file"}
"""Kinds of keys that may hold what documents, prompts and names say: records, which go with what they are of."""
WAYS = (("unshare", "--net"), ("unshare", "--map-root-user", "--net"))


def sealing() -> tuple[str, ...] | None:
    """How a process gets a network of its own here; None if it cannot."""
    for way in WAYS if shutil.which("unshare") else ():
        if subprocess.run([*way, "true"], capture_output=True, check=False).returncode == 0:
            return way
    return None


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What one day in there was like."""
    way = sealing()
    if way is None:
        pytest.skip("network namespaces need root or user namespaces")
    argv = [*way, sys.executable, "-m", "tests.sealed_day", str(tmp_path_factory.mktemp("sealed"))]
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join((str(ROOT), os.environ.get("PYTHONPATH", "")))}
    ended = subprocess.run(argv, cwd=ROOT, env=environ, capture_output=True, text=True, timeout=240, check=False)
    assert ended.returncode == 0, ended.stderr
    found: dict[str, Any] = json.loads(ended.stdout.splitlines()[-1])
    return found


def test_nothing_is_sent_out(told: dict[str, Any]) -> None:
    """Nor tried: the kernel counts each attempt, as one of the test's own shows."""
    assert told["would_be_seen"] >= 1
    assert told["sent_out"] == 0


def test_documents_show_only_in_the_records_of_their_jobs(told: dict[str, Any]) -> None:
    """Not in a log of a process or an engine, in an event, on a page of Flower, in a figure, or under another key."""
    found = told["found"]
    assert told["events"] > 10
    assert found["redis"], "it would prove nothing that never was found"
    assert set(found.pop("redis")) <= KEPT_IN
    assert found == {"files": [], "flower": [], "figures": [], "events": []}


def test_no_command_line_shows_a_secret(told: dict[str, Any]) -> None:
    """`ps` is everybody's."""
    assert told["argv"] == []
