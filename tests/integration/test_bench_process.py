"""A benchmark as people start it: what it prints, and that nothing of it is left."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from viiwork.fleet.plan import TAG
from viiwork.processes import tagged

REPO = Path(__file__).parents[2]


def start(temp: Path) -> subprocess.Popen[str]:
    """The smallest run, with its temporary files in a place of our own."""
    env = {**os.environ, "TMPDIR": str(temp), "VIIWORK_ENGINE_KIND": "nonsense"}
    return subprocess.Popen(
        [sys.executable, "-m", "bench", "dispatch", "--jobs", "40", "--rounds", "1", "--json"],
        cwd=REPO,
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_a_run_prints_one_object_and_leaves_nothing(tmp_path: Path) -> None:
    """Settings of the person who runs it do not reach it, and its server, workers and files are gone."""
    with start(tmp_path) as process:
        out, err = process.communicate(timeout=170)
    assert process.returncode == 0, err
    told = json.loads(out)
    assert sorted(told) == ["figures", "goals", "scenario"]
    assert told["figures"]["ours_batch_jobs_per_second"] > 0
    assert list(tmp_path.iterdir()) == []


def test_a_run_that_is_stopped_takes_everything_down(tmp_path: Path) -> None:
    """Exit code 130, with no worker, server or file left; Ctrl-C goes the same way, but a shell may have it ignored."""
    with start(tmp_path) as process:
        assert process.stderr is not None
        process.stderr.readline()
        place = await_place(process, tmp_path)
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=120)
    assert process.returncode == 130
    assert list(tmp_path.iterdir()) == []
    assert tagged(TAG, str(place)) == []


def await_place(process: subprocess.Popen[str], temp: Path) -> Path:
    """The benchmark's directory, once its first worker writes a log there."""
    while process.poll() is None:
        for log in temp.glob("*/logs/cpu0.log"):
            return log.parents[1]
        time.sleep(0.02)
    pytest.fail("the benchmark ended before it was interrupted")
