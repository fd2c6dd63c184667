"""API keys with real processes: made on the host, asked for by the door, kept by `viiwork login`, and seen nowhere."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import httpx
import openai
import psutil
import pytest

from tests.door import Door
from tests.workers import bare_environ
from viiwork.apikeys import Scope
from viiwork.auditlog import AuditLog
from viiwork.fleet.plan import child_env
from viiwork.roster import WorkerCard
from viiwork.settings import Settings, load_settings
from viiwork.statedir import StateDir
from viiwork.store import Store, apikeys, embedded
from viiwork.store.opening import open_store
from viiwork.store.upkeep import Upkeep
from viiwork.store.visiting import visit

MODEL = "standin"
ON = {"VIIWORK_API_KEYS": "on"}


class Host:
    """A state directory with an embedded server, and the command line beside it, with a home of its own."""

    def __init__(self, root: Path) -> None:
        self.settings = load_settings({"fleet": {"name": "keyed", "state_dir": str(root / "state")}})
        self.home = root / "home"
        self.home.mkdir()
        own = {"VIIWORK_FLEET_STATE_DIR": str(root / "state"), "VIIWORK_FLEET_NAME": "keyed", "HOME": str(self.home)}
        self.env = {**bare_environ(), **own, "COLUMNS": "200"}
        self.env.pop("XDG_CONFIG_HOME", None)

    def viiwork(self, *arguments: str, said: str = "", **env: str) -> subprocess.CompletedProcess[str]:
        argv = [sys.executable, "-m", "viiwork.cli.main", *arguments]
        return subprocess.run(
            argv, env={**self.env, **env}, input=said, capture_output=True, text=True, timeout=120, check=False
        )

    def door(self, **env: str) -> Door:
        return Door(self.settings, **{"VIIWORK_REDIS_URL": "embedded", **env})


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Host:
    """Nothing runs there yet."""
    return Host(tmp_path_factory.mktemp("host"))


@pytest.fixture(scope="module")
def boss(host: Host) -> str:
    """The first admin's key, made while the fleet does not run."""
    made = host.viiwork("keys", "create", "boss", "--scope", "admin")
    assert made.returncode == 0, made.stderr
    return made.stdout.strip()


@pytest.fixture(scope="module")
def running(host: Host, boss: str) -> Iterator[Settings]:
    """Its embedded server."""
    server = embedded.start(host.settings)
    yield host.settings
    server.stop()


@pytest.fixture(scope="module")
def door(host: Host, running: Settings) -> Iterator[Door]:
    """The door, which asks for keys."""
    with host.door(**ON) as made:
        assert made.url
        yield made


@pytest.fixture
async def store(running: Settings) -> AsyncIterator[Store]:
    opened = await open_store(running)
    card = WorkerCard(name="cpu0@test", incarnation="one", host="test", pid=1, engine="stand-in", model=MODEL, slots=1)
    await Upkeep(opened, lease_ttl_s=60, hint_grace_s=5).beat(card, queues=[f"batch.{MODEL}"], in_flight={}, held=[])
    yield opened
    await opened.close()


def test_a_fleet_off_loopback_does_not_start_without_a_key(tmp_path: Path) -> None:
    """`up` says in one line what to type; what it names works while nothing runs."""
    bare = Host(tmp_path)
    up = bare.viiwork("up", "--engine", "noop", "--no-flower", "--host", "0.0.0.0", "--port", "0")
    assert up.returncode == 2
    assert "The API on 0.0.0.0 needs API keys, and there is none yet." in up.stderr
    assert "viiwork keys create NAME --scope admin" in up.stderr
    made = bare.viiwork("keys", "create", "me", "--scope", "admin", "--json")
    assert json.loads(made.stdout)["key"]["scopes"] == ["admin"]
    assert embedded.running(StateDir(bare.settings.state_dir)) is None


def test_the_first_key_needs_nothing_but_the_state_directory(host: Host, boss: str) -> None:
    """It is shown this once; the server that was started for it has ended."""
    assert boss.startswith("vw-")
    assert not (host.settings.state_dir / "run.json").exists()
    listed = host.viiwork("keys", "list")
    assert "boss" in listed.stdout and boss not in listed.stdout


def test_the_door_off_loopback_starts_with_a_key_alone(host: Host, running: Settings) -> None:
    """And not with keys off."""
    with host.door(VIIWORK_API_HOST="0.0.0.0", VIIWORK_API_KEYS="off") as refused:
        assert refused.process.wait(60) == 2
        assert "api.keys is off and api.host is 0.0.0.0" in refused.log.read_text()


async def test_openais_client_raises_its_own_errors(door: Door, store: Store) -> None:
    """401 is an AuthenticationError, 403 a PermissionDeniedError, each with the request's id."""
    reader = (await apikeys.create(store, "reader", scopes=[Scope.READ])).secret
    with openai.OpenAI(base_url=f"{door.url}/v1", api_key="sk-none", max_retries=0) as stranger:
        with pytest.raises(openai.AuthenticationError) as refused:
            stranger.get("/fleet", cast_to=object)
        assert (refused.value.code, refused.value.status_code) == ("invalid_api_key", 401)
        assert refused.value.request_id
    with openai.OpenAI(base_url=f"{door.url}/v1", api_key=reader, max_retries=0) as known:
        assert known.get("/fleet", cast_to=object)
        with pytest.raises(openai.PermissionDeniedError) as forbidden:
            known.post("/fleet/quarantine/lift", cast_to=object)
        assert forbidden.value.code == "insufficient_scope"


async def test_two_processes_heed_a_revocation_within_a_second_or_so(door: Door, host: Host, store: Store) -> None:
    """Each knows a key that it has seen for no longer than that."""
    made = await apikeys.create(store, "short")
    headers = {"authorization": f"Bearer {made.secret}"}
    with host.door(**ON) as second, httpx.Client(headers=headers, timeout=60, trust_env=False) as http:
        urls = [f"{one.url}/v1/whoami" for one in (door, second)]
        assert [http.get(url).status_code for url in urls] == [200, 200]
        await apikeys.revoke(store, made.key)
        while 200 in (answers := [http.get(url).status_code for url in urls]):
            assert set(answers) <= {200, 401}


async def test_a_key_is_seen_nowhere(door: Door, host: Host, store: Store, boss: str) -> None:
    """Not in a list of processes, a log, Redis, an event, the audit log, nor in what the fleet's engines are handed."""
    secret = (await apikeys.create(store, "seen", tenant="seen@lab")).secret
    headers = {"authorization": f"Bearer {secret}"}
    argv = [sys.executable, "-m", "viiwork.cli.main", "top"]
    env = {**host.env, "VIIWORK_URL": door.url, "VIIWORK_API_KEY": secret}
    with (
        httpx.Client(base_url=door.url, headers=headers, timeout=60, trust_env=False) as http,
        subprocess.Popen(argv, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as watching,
    ):
        body = {"task": "summarize", "documents": [{"text": "one"}]}
        started = http.post("/v1/analyses", json=body).json()["id"]
        assert http.post("/v1/jobs", content=b"{", headers={"content-type": "application/json"}).status_code == 400
        http.get("/v1/fleet", params={"secret": secret})
        ended = [http.post(f"/v1/analyses/{started}/cancel").text, http.get(f"/v1/analyses/{started}/events").text]
        shown = [" ".join(each.info["cmdline"] or ()) for each in psutil.process_iter(["cmdline"])]
        watching.terminate()
        said = watching.communicate(timeout=60)[0].decode()
    admin = {"authorization": f"Bearer {boss}"}
    with httpx.Client(base_url=door.url, headers=admin, timeout=60, trust_env=False) as http:
        rotated = http.post("/v1/keys/seen/rotate").json()["secret"]
        listed = http.get("/v1/keys").text
    kept = [path for path in host.settings.state_dir.rglob("*") if path.is_file() and path.stat().st_size < 2**26]
    everything = [*shown, *ended, said, listed, *await all_values(store)]
    everything += [path.read_bytes().decode("latin-1") for path in kept]
    assert any(AuditLog(host.settings.state_dir).path == path for path in kept)
    assert any(door.log == path for path in kept)
    for key in (secret, rotated, boss):
        assert not any(key[16:24] in text for text in everything)  # what begins the secret; its end is in the hint


async def all_values(store: Store) -> list[str]:
    """Whatever lies in Redis under the fleet's prefix, as text."""
    readers: dict[str, Any] = {
        "string": store.client.get,
        "hash": store.client.hgetall,
        "set": store.client.smembers,
        "list": lambda key: store.client.lrange(key, 0, -1),
        "zset": lambda key: store.client.zrange(key, 0, -1),
        "stream": lambda key: store.client.xrange(key),
        "none": store.client.exists,
    }
    return [f"{key} {await readers[await store.client.type(key)](key)}" async for key in store.client.scan_iter("*")]


async def test_a_redis_of_ones_own_is_visited_and_left_as_it_is(settings: Settings, real_store: Store) -> None:
    """Nothing is started for it, and nothing is ended."""
    async with visit(settings) as there:
        made = await apikeys.create(there, "me")
    assert [key.name for key in await apikeys.every(real_store)] == ["me"]
    async with visit(settings) as there:
        await apikeys.revoke(there, made.key)
    assert not await apikeys.any_there(real_store)
    assert not (settings.state_dir / "up.lock").exists()


def test_what_up_hands_on_has_no_key_in_it() -> None:
    """An engine is somebody else's program."""
    env = child_env(Settings(fleet={"state_dir": Path("/tmp/x")}), environ={"VIIWORK_API_KEY": "vw-x", "PATH": "/bin"})
    assert "VIIWORK_API_KEY" not in env and env["PATH"] == "/bin"
