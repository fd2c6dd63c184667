"""`viiwork bench` on simulated cards, as a person runs it: real processes, real signals, nothing left behind."""

from __future__ import annotations

import getpass
import json
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.door import Door
from tests.workers import ROOT, Fleet, bare_environ
from viiwork.client import Client
from viiwork.roster import FleetStatus
from viiwork.settings import DevicesSection, EngineSection, Settings, WorkersSection
from viiwork.store.server_launch import sync_client

pytestmark = pytest.mark.slow

SMALL = ("--window", "1.5", "--rounds", "1", "--prompt-tokens", "32", "--output-tokens", "16", "--think", "0.1")
PATIENCE_S = 120.0
NO_SUBMITTER = "viiwork-bench"


@pytest.fixture
def rig(fleet: Fleet, settings: Settings) -> Iterator[Callable[[str, int], Door]]:
    """Starts workers on simulated cards (`2xRadeonVII`), or on none, and the door before them."""
    doors: list[Door] = []

    def start(cards: str, workers: int) -> Door:
        spec = f"simulated:{cards}@50" if cards else ""
        changed = settings.model_copy(
            update={
                "engine": EngineSection(kind="simulated", slots=4, time_scale=0.05),
                "devices": DevicesSection(spec=spec),
                "workers": WorkersSection(gpus=workers),
            }
        )
        fleet.start(*(f"gpu{number}" for number in range(workers)), settings=changed)
        door = Door(settings)
        doors.append(door)
        until(door, lambda status: len(status.workers) == workers)
        return door

    yield start
    for door in doors:
        door.__exit__()


def until(door: Door, holds: Callable[[FleetStatus], bool]) -> FleetStatus:
    """Wait until the fleet is as it should be; a bound, not a timing assertion."""
    end_s = time.monotonic() + PATIENCE_S
    with Client(door.url) as client:
        while not holds(status := client.fleet()):
            assert time.monotonic() < end_s, told(status)
            time.sleep(0.05)
    return status


def told(status: FleetStatus) -> str:
    """What of it the tests look at."""
    workers = [(w.hold, w.card.limit, w.card.slots, w.card.throttle, w.card.closed) for w in status.workers]
    return f"{workers} {status.tenants} {status.queues}"


def bench(door: Door, *arguments: str) -> subprocess.Popen[str]:
    argv = [sys.executable, "-m", "viiwork.cli.main", "bench", "--server", door.url, *SMALL, *arguments]
    kept = bare_environ()
    pipe = subprocess.PIPE
    return subprocess.Popen(argv, cwd=ROOT, env={**kept, "COLUMNS": "160"}, stdout=pipe, stderr=pipe, text=True)


def at_rest(status: FleetStatus) -> bool:
    """Nobody is held, and nothing of a run is left."""
    free = all(not worker.hold and worker.card.limit == worker.card.slots for worker in status.workers)
    return free and not works(status)


def works(status: FleetStatus) -> bool:
    """Somebody has jobs in it."""
    waits = any(at.running or at.waiting or at.queued for at in status.queues)
    return waits or any(load.unfinished for load in status.tenants)


def held(status: FleetStatus) -> bool:
    return any(worker.hold for worker in status.workers) and works(status)


def test_two_simulated_cards_are_measured_and_nothing_is_left(
    rig: Callable[[str, int], Door], settings: Settings, tmp_path: Path
) -> None:
    """Steps, watts, waits and prices; the shared file has no name of this computer; answers are kept for minutes."""
    door, share = rig("2xRadeonVII", 2), tmp_path / "share.json"
    prices = ("--tariff", "0.3", "--hardware-price", "1200", "--cloud-price-in", "0.1", "--cloud-price-out", "0.4")
    run = bench(door, "--in-flight", "1", "--users", "2", "--json", "--share", str(share), *prices)
    out, err = run.communicate(timeout=PATIENCE_S)
    assert run.returncode == 0, err
    assert "This takes about" in err
    said: dict[str, Any] = json.loads(out)
    assert said["simulated"] is True
    assert [(step["workers"], step["cards"]) for step in said["in_flight"]] == [(1, 1)]
    assert [(step["workers"], step["cards"]) for step in said["crews"]] == [(1, 1), (2, 2)]
    for step in (*said["in_flight"], *said["crews"]):
        assert step["counted_by"] == "engine"
        assert step["output_tokens_per_s"]["median"] > 0
        assert step["watts"] > 0
        assert step["tokens_per_joule"] > 0
    assert said["beside"]["people"] == 2
    assert said["beside"]["idle"]["questions"] > 0
    assert said["beside"]["alone"]["all_watts"] > 0
    assert said["price"]["per_million_tokens"] > 0
    assert said["cards"][0]["count"] == 2
    written = share.read_text("utf-8")
    marks = (socket.gethostname(), getpass.getuser(), str(tmp_path), NO_SUBMITTER, "simulated-mistral", "gpu0")
    assert [mark for mark in marks if mark in written] == []
    until(door, at_rest)
    with sync_client(settings.redis.url) as server:
        batches = [
            key for key in server.scan_iter(f"{settings.prefix}batch:an_*") if server.type(key) in (b"hash", "hash")
        ]
        assert batches
        assert {int(server.hget(key, "ttl_ms")) for key in batches} == {120_000}  # type: ignore[arg-type] # a sync client


def test_ctrl_c_cancels_its_jobs_and_lifts_its_holds_at_once(rig: Callable[[str, int], Door]) -> None:
    door = rig("2xRadeonVII", 2)
    run = bench(door, "--users", "0", "--window", "60")
    until(door, held)
    run.send_signal(signal.SIGINT)
    out, err = run.communicate(timeout=PATIENCE_S)
    assert (run.returncode, out) == (130, "")
    assert err.splitlines()[-1].startswith("Stopped:")
    assert "Traceback" not in err
    until(door, at_rest)


def test_killed_in_mid_run_it_holds_nobody_for_longer_than_its_lease(
    rig: Callable[[str, int], Door], settings: Settings
) -> None:
    """Seconds of work are left, which are done; the lease is let run out here, rather than waited for."""
    door = rig("", 2)
    run = bench(door, "--users", "0", "--window", "60")
    until(door, held)
    run.kill()
    run.communicate(timeout=PATIENCE_S)
    with sync_client(settings.redis.url) as server:
        left_ms = server.pttl(f"{settings.prefix}hold")
        assert 0 < int(left_ms) <= 20_000  # type: ignore[arg-type] # a sync client
        server.pexpire(f"{settings.prefix}hold", 1)
    until(door, at_rest)


def test_without_cards_watts_are_a_dash_and_it_says_what_is_left_out(rig: Callable[[str, int], Door]) -> None:
    run = bench(rig("", 1), "--users", "0", "--in-flight", "1")
    out, err = run.communicate(timeout=PATIENCE_S)
    assert run.returncode == 0, err
    assert "No worker was told of a card: watts, tokens per joule and the price of electricity are left out." in out
    assert "SIMULATED" in out
    assert "- (needs the cards' watts and --tariff)" in out
    assert "claimed" in out
