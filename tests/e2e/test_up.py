"""`viiwork up` and `viiwork down`, as a person runs them: real processes, a real server, real signals."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from redis.exceptions import RedisError

from tests.workers import bare_environ
from viiwork.fleet.plan import TAG
from viiwork.processes import tagged
from viiwork.statedir import Run, StateDir
from viiwork.store.server_launch import sync_client, url_of

pytestmark = pytest.mark.slow

QUICK = ("--engine", "noop", "--no-flower", "--port", "0")
PATIENCE_S = 90.0


class Box:
    """A state directory, the command line on it, and what runs there."""

    def __init__(self, root: Path) -> None:
        self.state = StateDir(root)
        kept = bare_environ()
        self.env = {**kept, "VIIWORK_FLEET_STATE_DIR": str(root), "COLUMNS": "200"}
        self.started: list[subprocess.Popen[str]] = []

    def viiwork(self, *arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
        """Run one command to its end."""
        argv = [sys.executable, "-m", "viiwork.cli.main", *arguments]
        return subprocess.run(
            argv, env={**self.env, **env}, cwd=self.cwd, capture_output=True, text=True, timeout=PATIENCE_S, check=False
        )

    def up(self, *arguments: str, **env: str) -> dict[str, Any]:
        """A fleet in the background; its own JSON."""
        ended = self.viiwork("up", "--detach", "--json", *(arguments or QUICK), **env)
        assert ended.returncode == 0, ended.stderr
        told: dict[str, Any] = json.loads(ended.stdout)
        return told

    def foreground(self, *arguments: str) -> subprocess.Popen[str]:
        """A fleet in a terminal of its own, once it is ready."""
        argv = [sys.executable, "-m", "viiwork.cli.main", "up", "--json", *(arguments or QUICK)]
        pipe = subprocess.PIPE
        process = subprocess.Popen(argv, env=self.env, cwd=self.cwd, stdout=pipe, stderr=pipe, text=True)
        self.started.append(process)
        assert process.stdout is not None
        assert json.loads(process.stdout.readline())["processes"]
        return process

    @property
    def cwd(self) -> Path:
        self.state.root.parent.mkdir(parents=True, exist_ok=True)
        return self.state.root.parent

    @property
    def run(self) -> Run:
        run = self.state.read_run()
        assert run is not None
        return run

    def children(self) -> dict[str, int]:
        supervisor = self.run.supervisor
        assert supervisor is not None
        return {child.name: child.pid for child in supervisor.children}

    def kill_supervisor(self) -> None:
        """As the kernel's memory killer does."""
        supervisor = self.run.supervisor
        assert supervisor is not None
        os.kill(supervisor.pid, signal.SIGKILL)
        wait_for(lambda: not psutil.pid_exists(supervisor.pid) or is_zombie(supervisor.pid))

    def everything(self) -> list[int]:
        """Every process that belongs to this box, the server included."""
        tagged_ones = [pid for pid, _ in tagged(TAG, str(self.state.root))]
        server = [
            p.pid for p in psutil.process_iter(["cmdline"]) if str(self.state.root) in " ".join(p.info["cmdline"] or ())
        ]
        return [pid for pid in {*tagged_ones, *server} if not is_zombie(pid)]

    def close(self) -> None:
        for process in self.started:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
            process.communicate(timeout=PATIENCE_S)
        ended = self.viiwork("down", "--now")
        assert ended.returncode == 0, ended.stderr


def is_zombie(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def wait_for(true: Callable[[], bool]) -> None:
    """Until it is so; a failure of the test when that takes too long."""
    deadline = time.monotonic() + PATIENCE_S
    while not true():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.05)


def ready(url: str) -> bool:
    try:
        return httpx.get(url + "/health/ready", timeout=30, trust_env=False).status_code == 200
    except httpx.HTTPError:
        return False


@pytest.fixture
def box(tmp_path: Path) -> Iterator[Box]:
    """A fleet's place; at the end nothing of it runs any more."""
    made = Box(tmp_path / "state")
    yield made
    made.close()
    assert made.everything() == []


def test_a_fleet_in_the_background_is_found_refused_twice_and_taken_down(box: Box) -> None:
    """The whole life, and nothing left of it."""
    told = box.up("--engine", "simulated", "--gpus", "2", "--time-scale", "0.01", "--no-flower", "--port", "0")
    names = [(p["name"], p["state"]) for p in told["processes"]]
    assert names == [(name, "ready") for name in ("redis", "api", "gpu0", "gpu1", "reader0")]
    assert {p["engine"] for p in told["processes"] if p["role"] == "engine"} == {"simulated Radeon VII"}
    assert ready(told["api_url"])
    assert box.run.api_url == told["api_url"]

    again = box.viiwork("up", *QUICK)
    assert again.returncode == 2
    assert f"already running (pid {told['pid']})" in again.stderr
    assert "Traceback" not in again.stderr

    for pid in box.children().values():
        assert psutil.Process(pid).rlimit(psutil.RLIMIT_CORE)[0] == 0, "a dump would hold documents"
    secrets = [path.read_text().strip() for path in box.state.root.glob("*.secret")]
    lines = "\n".join(" ".join(p.info["cmdline"] or ()) for p in psutil.process_iter(["cmdline"]))
    assert secrets
    assert all(secret not in lines for secret in secrets)

    port = httpx.URL(told["api_url"]).port or 0
    assert box.viiwork("down").stdout == "The fleet 'default' is stopped.\n"
    assert box.everything() == []
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", port)) != 0
    assert not {entry.name for entry in box.state.root.iterdir()} & {"run.json", "redis.sock"}
    assert not list(box.state.root.glob(".*"))

    nothing = box.viiwork("down")
    assert (nothing.returncode, nothing.stdout) == (0, "The fleet 'default' is not running.\n")


def test_a_killed_supervisor_is_followed_by_one_fleet_with_the_old_data_twice_in_a_row(box: Box) -> None:
    """One server, no orphan."""
    box.up()
    server = box.run.server
    assert server is not None
    with sync_client(url_of(server)) as client:
        client.set("kept", "yes")
    for _ in range(2):
        before = box.children()
        box.kill_supervisor()
        assert all(not is_zombie(pid) for pid in before.values()), "children live on until they are swept"
        told = box.up()
        assert ready(told["api_url"])
        assert all(is_zombie(pid) for pid in before.values())
        assert box.run.server == server
        wait_for(lambda: len(box.everything()) == 1 + len(box.children()))
    with sync_client(url_of(server)) as client:
        assert client.get("kept") == b"yes"


def test_down_cleans_up_after_a_killed_supervisor(box: Box) -> None:
    """Workers and server go; the data stay."""
    box.up()
    box.kill_supervisor()
    ended = box.viiwork("down", "--json")
    assert json.loads(ended.stdout) == {"fleet": "default", "stopped": True}
    assert box.everything() == []


def test_two_fleets_side_by_side_do_not_meet(box: Box, tmp_path: Path) -> None:
    """Each its own server, ports and workers; taking one down leaves the other."""
    other = Box(tmp_path / "other")
    try:
        one, two = box.up(), other.up(*QUICK, "--fleet", "second")
        assert one["api_url"] != two["api_url"]
        assert other.viiwork("down", "--fleet", "second").returncode == 0
        assert ready(one["api_url"])
        assert not ready(two["api_url"])
    finally:
        other.close()


def test_a_closed_terminal_does_not_stop_it_and_ctrl_c_does(box: Box) -> None:
    """SIGHUP only renews the API; SIGINT ends everything in order, with exit code 0."""
    process = box.foreground()
    url = box.run.api_url
    for pid in box.children().values():
        assert os.getsid(pid) == pid
    process.send_signal(signal.SIGHUP)
    time.sleep(1.5)
    assert process.poll() is None
    assert ready(url)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=PATIENCE_S)
    assert (process.returncode, out) == (0, "")
    assert "Traceback" not in err
    assert box.everything() == []
    assert "Traceback" not in "".join(path.read_text() for path in box.state.logs.glob("*.log"))


def test_what_dies_is_started_again(box: Box) -> None:
    """A worker, the API and the server itself, each with SIGKILL."""
    told = box.up()
    before, server = box.children(), box.run.server
    assert server is not None
    wait_for(lambda: on_disk(url_of(server)))
    for pid in (before["cpu0"], before["api"], server.pid):
        os.kill(pid, signal.SIGKILL)

    def whole_again() -> bool:
        supervisor = box.run.supervisor
        states = {child.name: child.state for child in supervisor.children} if supervisor else {}
        return set(states.values()) == {"ready"} and box.children()["cpu0"] != before["cpu0"] and ready(told["api_url"])

    wait_for(whole_again)
    again = box.run.server
    assert again is not None
    assert (again.pid != server.pid, again.socket) == (True, server.socket)
    with sync_client(url_of(again)) as client:
        assert client.get("kept") == b"yes"


def on_disk(url: str) -> bool:
    """Write what must outlive the server, and see it synced; on a slow disk that takes more than one try."""
    with sync_client(url) as client:
        try:
            client.set("kept", "yes")
            return bool(client.execute_command("WAITAOF", 1, 0, 500)[0])  # type: ignore[index] # a sync client
        except RedisError:
            return False


def test_a_second_signal_hurries(box: Box) -> None:
    """A worker that does not drain is not waited for; and whoever goes on signalling changes nothing more."""
    box.env["VIIWORK_QUEUE_DRAIN_GRACE_S"] = "600"
    process = box.foreground()
    url = box.run.api_url
    os.kill(box.children()["cpu0"], signal.SIGSTOP)
    process.send_signal(signal.SIGTERM)
    wait_for(lambda: not ready(url))  # it has heard the first: of two that come at once the system may make one
    assert process.poll() is None
    over_s = time.monotonic() + PATIENCE_S
    while process.poll() is None:
        assert time.monotonic() < over_s, "it waited"
        process.send_signal(signal.SIGTERM)
        time.sleep(0.02)
    _, told = process.communicate()
    assert (process.returncode, told.count("Stopping at once.")) == (0, 1), told
    assert box.everything() == []


@pytest.mark.parametrize("detach", [(), ("--detach",)])
def test_a_port_in_use_is_one_line_and_nothing_is_started(box: Box, detach: tuple[str, ...]) -> None:
    """Exit code 2, in the foreground and in the background."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        ended = box.viiwork("up", "--engine", "noop", "--no-flower", "--port", port, *detach)
    assert ended.returncode == 2
    assert f"port {port} on 127.0.0.1 is in use" in ended.stderr
    assert "--port" in ended.stderr.splitlines()[-1]
    assert ended.stdout == ""
    assert not box.state.run_file.exists()


def test_without_the_server_of_its_engine_it_comes_up_and_says_what_does_not_answer(box: Box) -> None:
    """It never returned, and neither screen nor log named the cause. Port 9 is nobody's."""
    engine = ("--engine", "url", "--url", "http://127.0.0.1:9/v1", "--model", "foo", "--no-flower", "--port", "0")
    ended = box.viiwork("up", "--detach", *engine)
    assert ended.returncode == 0, ended.stderr
    cause = "the server at http://127.0.0.1:9 does not answer (connection refused)"
    assert f"waiting for cpu0: {cause}\n" in ended.stderr
    assert f"cpu0: {cause}. Start that server" in ended.stderr
    assert str(box.state.logs / "guard-cpu0.log") in ended.stderr
    assert "waiting for its server" in ended.stdout
    own = (box.state.logs / "cpu0.log").read_text()
    assert cause in own
    assert "holds foo" not in own
    assert f"cpu0: {cause}" in (box.state.logs / "up.log").read_text()


def test_a_fleet_that_is_stopped_while_it_starts_is_said_to_be_so(box: Box) -> None:
    """It ended with two lines of JSON."""
    engine = ("--engine", "url", "--url", "http://127.0.0.1:9/v1", "--model", "foo", "--no-flower", "--port", "0")
    argv = [sys.executable, "-m", "viiwork.cli.main", "up", "--detach", *engine]
    starting = subprocess.Popen(argv, env=box.env, cwd=box.cwd, stderr=subprocess.PIPE, text=True)
    box.started.append(starting)
    wait_for(lambda: "cpu0" in "".join(path.name for path in box.state.logs.glob("*.log")))
    assert box.viiwork("down").returncode == 0
    _, told = starting.communicate(timeout=PATIENCE_S)
    assert starting.returncode != 0
    assert told.endswith("viiwork: the fleet was stopped before it was ready, by `viiwork down` or a signal.\n")


@pytest.mark.parametrize("detach", [(), ("--detach",)])
def test_an_unreachable_redis_is_one_line_without_its_password(box: Box, detach: tuple[str, ...]) -> None:
    """Exit code 3."""
    ended = box.viiwork("up", *QUICK, *detach, VIIWORK_REDIS_URL="redis://:hidden@127.0.0.1:1/0")
    assert ended.returncode == 3
    assert "Redis does not answer at redis://127.0.0.1:1/0" in ended.stderr
    assert "hidden" not in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_bad_settings_file_flag_or_variable_is_one_line(box: Box, tmp_path: Path) -> None:
    """Exit code 2, and what is wrong with it."""
    broken = tmp_path / "broken.toml"
    broken.write_text("[api\nport = 1")
    for arguments, env, reason in (
        (("up", "--config", str(broken)), {}, "broken.toml is not valid TOML"),
        (("up", "--engine", "steam"), {}, "engine.kind"),
        (("up", "--port", "99999"), {}, "api.port"),
        (("down",), {"VIIWORK_FLEET_NAME": "Not Good"}, "VIIWORK_FLEET_NAME"),
        (("up", "--config", str(tmp_path / "none.toml")), {}, "none.toml"),
    ):
        ended = box.viiwork(*arguments, **env)
        assert ended.returncode == 2, arguments
        assert reason in ended.stderr
        assert "Traceback" not in ended.stderr


def test_a_fleet_on_somebody_elses_redis_leaves_that_server_alone(box: Box, redis_url: str) -> None:
    """No server of our own is started, and `down` does not touch theirs."""
    env = {"VIIWORK_REDIS_URL": redis_url, "VIIWORK_REDIS_PREFIX": f"viiwork-test:{box.state.root.parent.name}:"}
    box.env |= env
    told = box.up()
    try:
        assert "redis" not in {process["name"] for process in told["processes"]}
        assert ready(told["api_url"])
        assert box.viiwork("down").returncode == 0
        with sync_client(redis_url) as client:
            assert client.ping()
    finally:
        with sync_client(redis_url) as client:
            for key in client.scan_iter(match=env["VIIWORK_REDIS_PREFIX"] + "*"):
                client.delete(key)
