"""`viiwork doctor` on real servers: what a person sees, and the exit codes."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from viiwork.cli.main import run
from viiwork.roster import WorkerCard
from viiwork.settings import load_settings
from viiwork.statedir import StateDir
from viiwork.store import embedded
from viiwork.store.server_launch import sync_client
from viiwork.wire import as_json

Doctor = Callable[..., tuple[int, dict[str, Any], str]]


@pytest.fixture
def state(tmp_path: Path) -> Iterator[Path]:
    """A state directory; its server is ended afterwards."""
    root = tmp_path / "state"
    yield root
    if root.is_dir():
        embedded.end_server(StateDir(root))


@pytest.fixture
def doctor(capfd: pytest.CaptureFixture[str], state: Path, monkeypatch: pytest.MonkeyPatch) -> Doctor:
    """Runs the command on that directory: exit code, findings by check, and all that was said."""
    monkeypatch.setenv("VIIWORK_FLEET_STATE_DIR", str(state))
    monkeypatch.delenv("VIIWORK_REDIS_URL", raising=False)

    def call(*arguments: str) -> tuple[int, dict[str, Any], str]:
        code = run(["doctor", "--json", *arguments])
        said = capfd.readouterr()
        found = [json.loads(line) for line in said.out.splitlines()]
        # What the host itself is like, a full disk or a /tmp in memory, is no business of these tests.
        assert code == 3 or code == int(any(finding["verdict"] == "fail" for finding in found))
        return code, {finding["check"]: finding for finding in found}, said.out + said.err

    return call


@pytest.fixture
def server(state: Path) -> Iterator[Any]:
    """A client of the fleet's own server."""
    started = embedded.start(load_settings({"fleet": {"state_dir": str(state)}}))
    with closing(sync_client(started.url)) as client:
        yield client


def test_a_fleet_that_is_not_running_is_one_line_and_exit_code_3(doctor: Doctor) -> None:
    """The host is checked all the same."""
    code, found, _ = doctor()
    assert code == 3
    assert found["Redis"]["verdict"] == "fail"
    assert "viiwork up" in found["Redis"]["found"]
    assert found["State directory"]["verdict"] == "warn"
    assert found["Disk"]["found"]


@pytest.mark.usefixtures("server")
def test_the_embedded_server_passes(doctor: Doctor, state: Path) -> None:
    """As `up` starts it, nothing of Redis fails or warns; the password is not shown."""
    _, found, said = doctor()
    assert (state / "redis.secret").read_text().strip() not in said
    of_redis = ("Redis", "Append-only file", "appendfsync", "Eviction", "Redis memory", "Redis' files", "Clocks")
    assert {found[check]["verdict"] for check in of_redis} == {"ok"}
    assert found["Workers"]["verdict"] == "warn"
    assert "celery 5.7" in found["Versions"]["found"]


@pytest.mark.parametrize(
    ("setting", "value", "check", "verdict"),
    [
        ("appendonly", "no", "Append-only file", "fail"),
        ("appendfsync", "no", "appendfsync", "warn"),
        ("maxmemory-policy", "allkeys-lru", "Eviction", "fail"),
        ("maxmemory", "0", "Redis memory", "warn"),
        ("maxmemory", "1", "Redis memory", "fail"),
    ],
)
def test_what_is_set_wrong_is_found(
    doctor: Doctor, server: Any, setting: str, value: str, check: str, verdict: str
) -> None:
    """On a real server, by CONFIG SET."""
    server.config_set(setting, value)
    code, found, _ = doctor()
    assert found[check]["verdict"] == verdict
    assert found[check]["advice"]
    assert code == 1 or verdict == "warn"


def test_a_server_that_may_not_be_asked_is_no_failure(
    doctor: Doctor, server: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An ACL user without CONFIG."""
    server.acl_setuser("worker", enabled=True, passwords=["+pw"], keys=["*"], commands=["+@all", "-config"])
    path = server.connection_pool.connection_kwargs["path"]
    monkeypatch.setenv("VIIWORK_REDIS_URL", f"unix://worker:pw@{path}")
    _, found, said = doctor()
    assert found["appendfsync"]["verdict"] == "warn"
    assert "pw@" not in said


@pytest.mark.usefixtures("server")
def test_a_disk_without_the_room_that_must_stay_is_found(doctor: Doctor, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every submit is refused then, so the disk and new work both fail; by default neither speaks of it."""
    _, found, _ = doctor()
    assert "api.min_free_bytes" not in found["Disk"]["advice"]
    monkeypatch.setenv("VIIWORK_API_MIN_FREE_BYTES", str(2**60))
    code, found, _ = doctor()
    assert (code, found["Disk"]["verdict"], found["New work"]["verdict"]) == (1, "fail", "fail")
    assert "no room for new work" in found["New work"]["found"]
    assert "api.min_free_bytes" in found["New work"]["advice"]


def test_a_card_whose_engine_restarts_or_is_put_away_is_found(doctor: Doctor, server: Any) -> None:
    """It is up and beats, and takes nothing all the same."""
    card = WorkerCard(name="gpu0@box", incarnation="i", host="box", pid=1, engine="e", model="llama", slots=2, limit=0)
    reader = card.model_copy(update={"name": "reader0@box", "incarnation": "r", "model": "read", "limit": None})
    restarting = card.model_copy(update={"engine_state": "restarting (7 deaths)"})
    for said, found in ((restarting, "restarting (7 deaths)"), (card, "it is quarantined")):
        for each in (said, reader):
            key = f"viiwork:default:inc:{each.incarnation}"
            server.hset(key, mapping={"card": as_json(each), "beat_ms": 2**50, "in_flight": "{}"})
            server.zadd("viiwork:default:incs", {each.incarnation: 2**50})
        _, findings, _ = doctor()
        assert findings["Workers"]["verdict"] == "warn"
        assert found in findings["Workers"]["found"]
        server.hset("viiwork:default:quarantine", "gpu0@box", "It died.")


@pytest.mark.usefixtures("server")
def test_a_state_directory_that_others_may_read_fails(doctor: Doctor, state: Path) -> None:
    state.chmod(0o755)
    code, found, _ = doctor()
    assert code == 1
    assert found["State directory"]["verdict"] == "fail"
    assert found["State directory"]["advice"] == f"chmod 700 {state}"


@pytest.mark.usefixtures("server")
def test_people_get_a_table(capfd: pytest.CaptureFixture[str], doctor: Doctor) -> None:
    """One line a check."""
    doctor()
    assert run(["doctor"]) in (0, 1)
    said = capfd.readouterr().out
    assert "Append-only file" in said
    assert "What to do" in said


@pytest.mark.usefixtures("server")
def test_what_up_would_be_given_can_be_checked_before(doctor: Doctor) -> None:
    """So many cards no computer has; without the options nothing wants one."""
    _, found, _ = doctor()
    assert (found["Cards"]["verdict"], found["Engine"]["verdict"]) == ("ok", "ok")
    code, found, _ = doctor("--engine", "vllm", "--model", "no-such-model", "--gpus", "64")
    assert (code, found["Cards"]["verdict"], found["Engine"]["verdict"]) == (1, "fail", "fail")
    assert "64 wanted" in found["Cards"]["found"]


def test_a_server_that_refuses_the_password_is_named_without_it(
    doctor: Doctor, server: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = server.connection_pool.connection_kwargs["path"]
    monkeypatch.setenv("VIIWORK_REDIS_URL", f"unix://:wrong-one@{path}")
    code, found, said = doctor()
    assert code == 3
    assert "refuses the user or password" in found["Redis"]["found"]
    assert "wrong-one" not in said
