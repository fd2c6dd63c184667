"""The supervisor with stand-ins for its processes, for what real ones will not do on demand."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from tests.hands import Hands
from tests.workers import make_job
from viiwork.errors import EngineFault, StartupError
from viiwork.fleet import restarts
from viiwork.fleet.child import Child, ChildState
from viiwork.fleet.plan import TAG, ProcessSpec, Role
from viiwork.fleet.report import Event
from viiwork.fleet.supervisor import Supervisor
from viiwork.jobs import State
from viiwork.processes import end, identity, tagged
from viiwork.settings import Settings, load_settings
from viiwork.statedir import ChildRecord, StateDir
from viiwork.store import Store, open_store

API = """
import http.server, sys
class Door(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200); self.end_headers()
http.server.HTTPServer(("127.0.0.1", {port}), Door).serve_forever()
"""
IDLE = "import time; time.sleep(600)"


def alone(root: Path) -> Settings:
    return load_settings(
        {
            "fleet": {"state_dir": root},
            "redis": {"url": "embedded"},
            "api": {"port": 0},
            "flower": {"enabled": False},
            "queue": {"drain_grace_s": 0.5},
        }
    )


def stand_in(name: str, role: Role, code: str, *, root: Path, grace_s: float = 5.0) -> ProcessSpec:
    env = {"PATH": os.environ.get("PATH", ""), TAG: str(root)}
    return ProcessSpec(name, role, (sys.executable, "-c", code), env, stop_grace_s=grace_s)


def api(settings: Settings, root: Path) -> ProcessSpec:
    return stand_in("api", Role.API, API.format(port=settings.api.port), root=root)


async def ended(supervisor: Supervisor) -> None:
    await asyncio.wait_for(supervisor.run(), 60)


async def test_without_a_single_engine_worker_it_ends_with_the_reason(tmp_path: Path) -> None:
    """Exit code 1, the worker's own last words, and everything taken down again."""
    told: list[Event] = []

    def plan(settings: Settings, password: str) -> Sequence[ProcessSpec]:
        hopeless = "import sys; print('the card has no memory'); sys.exit(2)"
        return [api(settings, tmp_path), stand_in("gpu0", Role.ENGINE, hopeless, root=tmp_path)]

    with pytest.raises(
        EngineFault, match=r"no engine worker could be started: the card has no memory\. See .*gpu0\.log"
    ) as caught:
        await ended(Supervisor(alone(tmp_path), report=told.append, planner=plan))
    assert caught.value.exit_code == 1
    assert any("gpu0 is given up" in event.text for event in told)
    assert tagged(TAG, str(tmp_path)) == []
    assert not (tmp_path / "run.json").exists()


async def test_one_worker_that_cannot_start_does_not_stop_the_others(tmp_path: Path) -> None:
    """It is shown as failed; the fleet goes on with the rest."""
    supervisor: Supervisor

    def on(event: Event) -> None:
        if event.fleet is not None:
            states.update({process.name: process.state for process in event.fleet.processes})
            supervisor.ask_to_stop()

    def plan(settings: Settings, password: str) -> Sequence[ProcessSpec]:
        return [api(settings, tmp_path), stand_in("reader0", Role.READER, "raise SystemExit(2)", root=tmp_path)]

    states: dict[str, str] = {}
    supervisor = Supervisor(alone(tmp_path), report=on, planner=plan)
    await ended(supervisor)
    assert states == {"redis": "ready", "api": "ready", "reader0": "failed"}


async def test_a_process_that_worked_is_tried_until_it_works_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Seven deaths in a row, with the exit code of wrong settings: told once, shown in run.json, then ready again."""
    monkeypatch.setattr(restarts, "FIRST_DELAY_S", 0.01)
    monkeypatch.setattr(restarts, "LONGEST_DELAY_S", 0.05)
    broken, deaths = tmp_path / "broken", tmp_path / "deaths"
    flapping = f"""
import os, sys
if os.path.exists({str(broken)!r}):
    open({str(deaths)!r}, "a").write("x")
    print("the port is taken")
    sys.exit(2)
"""
    told: list[Event] = []

    def plan(settings: Settings, password: str) -> Sequence[ProcessSpec]:
        return [stand_in("api", Role.API, flapping + API.format(port=settings.api.port), root=tmp_path)]

    def door() -> ChildRecord | None:
        run = state.read_run()
        return run.supervisor.children[0] if run is not None and run.supervisor is not None else None

    async def seen(true: Callable[[ChildRecord], bool]) -> ChildRecord:
        while (record := door()) is None or not true(record):
            await asyncio.sleep(0.02)
        return record

    state = StateDir(tmp_path)
    supervisor = Supervisor(alone(tmp_path), report=told.append, planner=plan)
    running = asyncio.create_task(supervisor.run())
    async with asyncio.timeout(60):
        while not any(event.kind == "ready" for event in told):
            await asyncio.sleep(0.02)
        first = await seen(lambda record: record.state == "ready")
        broken.touch()
        os.kill(first.pid, signal.SIGKILL)
        while not (deaths.exists() and deaths.stat().st_size >= 7):
            await asyncio.sleep(0.02)
        slow = await seen(lambda record: record.state.startswith("restarting ("))
        broken.unlink()
        again = await seen(lambda record: record.state == "ready" and record.pid != first.pid)
        supervisor.ask_to_stop()
        await running
    assert slow.state.endswith(" deaths)")
    assert again.restarts >= 7
    slowly = [event.text for event in told if "times in a row" in event.text]
    assert len(slowly) == 1
    assert slowly[0].startswith("api ended 5 times in a row (exit code 2) and is tried again every ")
    assert "the port is taken" in slowly[0]
    assert sum("is started again" in event.text for event in told) == 4
    assert not any("given up" in event.text for event in told)


async def test_a_dead_workers_job_comes_back_at_once_as_a_suspect(tmp_path: Path) -> None:
    """Its process was seen to exit; `queue.max_attempts` counts engine faults, not deaths."""
    told: list[Event] = []
    seen: list[Settings] = []

    def plan(settings: Settings, password: str) -> Sequence[ProcessSpec]:
        seen.append(settings)
        return [api(settings, tmp_path), stand_in("gpu0", Role.ENGINE, IDLE, root=tmp_path)]

    once, state_dir = alone(tmp_path), StateDir(tmp_path)
    once = once.model_copy(update={"queue": once.queue.model_copy(update={"max_attempts": 1})})
    supervisor = Supervisor(once, report=told.append, planner=plan)
    running = asyncio.create_task(supervisor.run())
    async with asyncio.timeout(60):
        while (run := state_dir.read_run()) is None or run.supervisor is None or not run.supervisor.children[1].pid:
            await asyncio.sleep(0.02)
        store = await open_store(seen[0])
        hands = Hands(store)
        life = {"host": socket.gethostname(), "pid": run.supervisor.children[1].pid}
        hands.card = hands.card.model_copy(update=life)
        await hands.beat()
        while not any(event.kind == "ready" for event in told):
            await asyncio.sleep(0.02)
        job = make_job()
        await store.submit([job])
        await hands.take()
        os.kill(hands.card.pid, signal.SIGKILL)
        while (status := await store.job(job.id)).state in (State.RUNNING, State.WAITING):  # taken back, then released
            await asyncio.sleep(0.02)
        await store.close()
        supervisor.ask_to_stop()
        await running
    assert (status.state, status.suspect) == (State.QUEUED, True)


async def test_without_an_api_it_ends_with_the_reason(tmp_path: Path) -> None:
    """Exit code 2."""
    missing = ProcessSpec("cpu0", Role.ENGINE, ("/no/such/program",), {})
    hopeless = "import sys; sys.stderr.write('no door'); sys.exit(2)"

    def planned(settings: Settings, password: str) -> Sequence[ProcessSpec]:
        return [stand_in("api", Role.API, hopeless, root=tmp_path), missing]

    with pytest.raises(StartupError, match="the API cannot be started: no door"):
        await ended(Supervisor(alone(tmp_path), report=lambda event: None, planner=planned))


async def test_workers_end_before_readers_before_the_api(tmp_path: Path) -> None:
    """And the one that does not listen to SIGTERM is killed after its grace."""
    diary = tmp_path / "diary"
    polite = f"""
import signal, sys, time
def leave(*_):
    with open({str(diary)!r}, "a") as file: file.write(sys.argv[1] + " ")
    sys.exit(0)
signal.signal(signal.SIGTERM, leave)
open({str(tmp_path)!r} + "/" + sys.argv[1], "w").close()
time.sleep(600)
"""
    deaf = (
        "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN);"
        f"open({str(tmp_path / 'deaf')!r}, 'w').close(); {IDLE}"
    )
    supervisor: Supervisor

    def plan(settings: Settings, password: str) -> Sequence[ProcessSpec]:
        specs = []
        for name, role in (("api", Role.API), ("reader0", Role.READER), ("cpu0", Role.ENGINE), ("flower", Role.FLOWER)):
            spec = stand_in(name, role, polite, root=tmp_path)
            specs.append(ProcessSpec(name, role, (*spec.argv, name), spec.env, stop_grace_s=60))
        return [*specs, stand_in("cpu1", Role.ENGINE, deaf, root=tmp_path, grace_s=0.5)]

    supervisor = Supervisor(alone(tmp_path), report=lambda event: None, planner=plan)
    running = asyncio.create_task(supervisor.run())
    while not all((tmp_path / name).exists() for name in ("api", "reader0", "cpu0", "flower", "deaf")):
        await asyncio.sleep(0.02)
    supervisor.ask_to_stop()
    await asyncio.wait_for(running, 60)
    assert diary.read_text().split() == ["cpu0", "reader0", "api", "flower"]
    assert tagged(TAG, str(tmp_path)) == []


async def test_helpers_go_with_the_process_that_died(tmp_path: Path) -> None:
    """Its whole session, before it is started again."""
    pids = tmp_path / "pids"
    code = (
        "import os, subprocess, sys, time;"
        f"helper = subprocess.Popen([sys.executable, '-c', {IDLE!r}]);"
        f"open({str(pids)!r}, 'a').write(f'{{os.getpid()}} {{helper.pid}}\\n'); {IDLE}"
    )

    async def on_exit(child: Child, pid: int, returncode: int) -> None:
        exits.append((pid, returncode))

    exits: list[tuple[int, int]] = []
    child = Child(stand_in("w", Role.ENGINE, code, root=tmp_path), logs=tmp_path, on_exit=on_exit)
    child.start()
    while not (pids.exists() and pids.read_text().count("\n")):
        await asyncio.sleep(0.02)
    leader, helper = map(int, pids.read_text().split())
    os.kill(leader, signal.SIGKILL)
    while pids.read_text().count("\n") < 2:
        await asyncio.sleep(0.02)
    assert exits == [(leader, -signal.SIGKILL)]
    while identity(helper) is not None:  # it was killed; a busy machine may let it go later
        await asyncio.sleep(0.02)
    await child.stop(hurry=asyncio.Event())
    assert child.state is ChildState.STOPPED
    assert (child.restarts.total, len(exits)) == (1, 2)


async def test_processes_in_sessions_of_their_own_are_found_by_their_tag(tmp_path: Path) -> None:
    """What a worker starts carries the tag too; a stranger does not."""
    helper = f"subprocess.Popen([sys.executable, '-c', {IDLE!r}], start_new_session=True)"
    code = f"import subprocess, sys, time; {helper}; {IDLE}"
    spec = stand_in("w", Role.ENGINE, code, root=tmp_path)
    process = await asyncio.create_subprocess_exec(*spec.argv, env=dict(spec.env))
    stranger = await asyncio.create_subprocess_exec(sys.executable, "-c", IDLE, env={TAG: str(tmp_path) + "x"})
    while len(tagged(TAG, str(tmp_path))) < 2:
        await asyncio.sleep(0.02)
    assert await asyncio.to_thread(end, tagged(TAG, str(tmp_path)), grace_s=5) == 2
    assert tagged(TAG, str(tmp_path)) == []
    assert stranger.returncode is None
    stranger.kill()
    await asyncio.gather(process.wait(), stranger.wait())


async def test_a_terminal_that_went_away_does_not_stop_it(tmp_path: Path) -> None:
    """Every word it says fails, as after `viiwork up | head`."""
    supervisor: Supervisor

    def broken(event: Event) -> None:
        if event.fleet is not None:
            supervisor.ask_to_stop()
        raise SystemExit(1) if event.kind == "notice" else BrokenPipeError

    supervisor = Supervisor(alone(tmp_path), report=broken, planner=lambda settings, _: [api(settings, tmp_path)])
    await ended(supervisor)


async def test_up_lifts_the_quarantines_of_its_own_host_alone(settings: Settings, real_store: Store) -> None:
    """Who starts a fleet on one host has not looked at the cards of another."""
    here, elsewhere = f"gpu0@{socket.gethostname()}", f"gpu0@not-{socket.gethostname()}"
    for worker in (here, elsewhere):
        await real_store.quarantine(worker, "It died under 2 jobs that succeeded on other workers.")
    supervisor: Supervisor

    def on(event: Event) -> None:
        if event.fleet is not None:
            supervisor.ask_to_stop()

    settings = settings.model_copy(update={"api": settings.api.model_copy(update={"port": 0})})
    root = settings.state_dir
    supervisor = Supervisor(settings, report=on, planner=lambda settled, _: [api(settled, root)])
    await ended(supervisor)
    assert list(await real_store.quarantined()) == [elsewhere]
