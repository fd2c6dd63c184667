"""The checked-in compose file, as a person uses it: every container well, documents answered, a crash, and away."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest

from samples.verdict import every_row, judge
from tests.compose.stack import ROOT, Stack

pytestmark = [pytest.mark.docker, pytest.mark.timeout(900)]
SAMPLES = ROOT / "samples" / "documents"
QUESTION = "What is the notice period?"
COPIES = 40
SERVICES = ("redis", "api", "reader", "worker", "flower")


def rows_of(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]


def listed() -> dict[str, Any]:
    """What the samples should come out as."""
    found: dict[str, Any] = json.loads((ROOT / "samples" / "expected.json").read_text(encoding="utf-8"))["files"]
    return every_row(found)


def test_every_container_becomes_healthy(stack: Stack) -> None:
    """By its own healthcheck: HTTP, PING, or a worker's beats."""

    def healthy() -> bool:
        return all(stack.inspected(name)["State"].get("Health", {}).get("Status") == "healthy" for name in SERVICES)

    stack.until(healthy, what="not all are healthy")


def test_nobody_runs_as_root_and_nobody_shows_the_password(stack: Stack) -> None:
    """Neither `docker inspect` nor the list of processes has it."""
    for name in SERVICES:
        told = stack.inspected(name)
        assert told["Config"]["User"] in ("viiwork", "valkey"), name
        assert told["HostConfig"]["CapDrop"] == ["ALL"], name
        assert stack.password not in json.dumps(told), name
        assert stack.key not in json.dumps(told), name
        processes = subprocess.run(
            ["docker", "top", told["Id"], "-eo", "pid,args"], capture_output=True, text=True, check=True
        )
        assert stack.password not in processes.stdout, name


def test_a_command_without_the_password_is_refused(stack: Stack) -> None:
    """Instead of making keys in a server of its own, which would open nothing."""
    argv = ["docker", "exec", stack.container("api"), "viiwork", "keys", "list"]
    told = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert (told.returncode, told.stdout) == (3, "")
    assert "refuses the user or password" in told.stderr
    assert stack.key.split("-")[1] in stack.compose("run", "--rm", "-T", "api", "viiwork", "keys", "list", "--json")


def test_the_samples_are_analysed_from_the_host(stack: Stack, tmp_path: Path) -> None:
    """Every good one has its answer, every broken one its own reason."""
    out = tmp_path / "rows.jsonl"
    stack.viiwork("analyze", str(SAMPLES), "--question", QUESTION, "--out", str(out))
    verdict = judge("ask", rows_of(out), listed(), question=QUESTION)
    print(verdict.line)
    assert verdict.complaints == ()


def test_status_names_the_workers(stack: Stack) -> None:
    """By the host name that all containers share."""
    fleet = json.loads(stack.viiwork("status", "--json"))
    assert {worker["card"]["name"] for worker in fleet["workers"]} == {"cpu0@viiwork", "reader0@viiwork"}


def test_flower_answers_and_asks_for_its_password(stack: Stack) -> None:
    """Its healthcheck is open to anybody, its pages are not."""
    with urlopen(f"http://127.0.0.1:{stack.flower}/healthcheck") as answer:
        assert answer.status == 200
    with pytest.raises(HTTPError, match="401"):
        urlopen(f"http://127.0.0.1:{stack.flower}/workers")


def test_a_worker_that_is_killed_half_way_loses_nothing(stack: Stack, tmp_path: Path) -> None:
    """Docker starts it again, and every document has its one row."""
    for number in range(COPIES):
        shutil.copytree(SAMPLES, folder := tmp_path / "in" / f"{number:02}")
        for path in folder.iterdir():
            if path.stat().st_size:  # or the worker would have to do with the first copy alone
                path.write_bytes(path.read_bytes() + f"\n{number}".encode())
    analysis = stack.viiwork("analyze", str(tmp_path / "in"), "--question", QUESTION, "--no-wait").split()[0]
    good = sum(entry["bad"] is None for entry in listed().values())

    def finished() -> int:
        told: dict[str, Any] = json.loads(stack.viiwork("status", analysis, "--json"))
        return int(told["counts"]["succeeded"])

    stack.until(lambda: finished() > good * COPIES // 5, what="nothing is finished")
    stack.kill("worker")
    at_the_kill = finished()
    assert at_the_kill < good * COPIES, "it was not half-way any more"
    out = tmp_path / "rows.jsonl"
    stack.viiwork("watch", analysis)
    stack.viiwork("results", analysis, "--out", str(out))
    rows = rows_of(out)
    print(f"killed with {at_the_kill} of {good * COPIES} answered; {len(rows)} rows in the end")
    assert len({row["document"] for row in rows}) == len(rows) == len(listed()) * COPIES
    assert sum(bool(row.get("answer")) for row in rows) == good * COPIES
    stack.until(lambda: stack.inspected("worker")["RestartCount"] >= 1, what="Docker has not started it again")


def test_results_outlive_the_containers(stack: Stack, tmp_path: Path) -> None:
    """Each process ends in order, and `down` keeps the volumes."""
    before, after = tmp_path / "before.jsonl", tmp_path / "after.jsonl"
    analysis = stack.viiwork("analyze", str(SAMPLES), "--task", "summarize", "--no-wait").split()[0]
    stack.viiwork("watch", analysis)
    stack.viiwork("results", analysis, "--out", str(before))
    stack.compose("stop")
    assert {name: stack.inspected(name)["State"]["ExitCode"] for name in SERVICES} == dict.fromkeys(SERVICES, 0)
    stack.compose("down")
    stack.compose("up", "--detach")
    stack.until(lambda: stack.answers(), what="the API is not back")
    stack.viiwork("results", analysis, "--out", str(after))
    assert sorted(map(str, rows_of(after))) == sorted(map(str, rows_of(before)))


def test_it_leaves_nothing_behind(stack: Stack) -> None:
    """No container, volume, network or image; this is the last test."""
    stack.remove()
    assert stack.left_behind() == {"containers": [], "volumes": [], "networks": [], "images": []}
