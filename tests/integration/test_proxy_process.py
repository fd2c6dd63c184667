"""The API behind a proxy: whose address counts, and Caddy itself, with the Caddyfile that is in `deploy/`."""

from __future__ import annotations

import os
import shutil
import ssl
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from tests.door import Door
from tests.ports import free_port
from tests.workers import Fleet, ready
from viiwork.settings import Settings
from viiwork.store import Store

CADDYFILE = Path(__file__).parents[2] / "deploy" / "Caddyfile"
JOB = {"messages": [{"role": "user", "content": "hello"}]}
FROM = "203.0.113.7"
CADDY = shutil.which("caddy")
needs_caddy = pytest.mark.skipif(CADDY is None, reason="no Caddy on this machine; on Debian: apt-get install caddy")


async def tenant(url: str, store: Store, *, via: str) -> str:
    """Whose a job is that comes with this X-Forwarded-For and without a label."""
    async with httpx.AsyncClient(base_url=url, trust_env=False, timeout=30) as http:
        sent = await http.post("/v1/jobs", json=JOB, headers={"x-forwarded-for": via})
    assert sent.status_code == 202, sent.text
    return str(await store.client.hget(f"{store.prefix}job:{sent.json()['id']}", "tenant"))


async def test_only_a_proxy_that_is_named_says_who_asks(settings: Settings, real_store: Store, fleet: Fleet) -> None:
    """And of a chain it is the last address that a trusted one saw, not what the client wrote itself."""
    fleet.start("cpu0")
    await ready(real_store, 1)
    with Door(settings) as alone, Door(settings, VIIWORK_API_FORWARDED_ALLOW_IPS='["127.0.0.1"]') as behind:
        assert await tenant(alone.url, real_store, via=FROM) == "anonymous@127.0.0.1"
        assert await tenant(behind.url, real_store, via=FROM) == f"anonymous@{FROM}"
        assert await tenant(behind.url, real_store, via=f"10.9.9.9, {FROM}") == f"anonymous@{FROM}"


@needs_caddy
def test_the_caddyfile_is_valid() -> None:
    """As the documents tell people to check it."""
    argv = [str(CADDY), "validate", "--config", str(CADDYFILE), "--adapter", "caddyfile"]
    ended = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr


@contextmanager
def caddy(door: Door, root: Path) -> Iterator[httpx.Client]:
    """A client of Caddy on a free port, with a certificate of its own, before this API."""
    port = free_port()
    mine = CADDYFILE.read_text().replace("127.0.0.1:8400", httpx.URL(door.url).netloc.decode())
    mine = mine.replace("viiwork.example.org {", f"https://localhost:{port} {{\n\ttls internal", 1)
    mine = mine.replace("{", "{\n\tadmin off\n\tskip_install_trust\n\tauto_https disable_redirects", 1)
    file, authority = root / "Caddyfile", root / "caddy/pki/authorities/local/root.crt"
    file.write_text(mine)
    argv = [str(CADDY), "run", "--config", str(file), "--adapter", "caddyfile"]
    environ = {**os.environ, "XDG_DATA_HOME": str(root), "XDG_CONFIG_HOME": str(root), "HOME": str(root)}
    with (root / "caddy.log").open("wb") as log, subprocess.Popen(argv, env=environ, stdout=log, stderr=log) as process:
        try:
            until(authority.exists, log=root / "caddy.log")
            trusted = ssl.create_default_context(cafile=str(authority))
            url = f"https://localhost:{port}"
            with httpx.Client(base_url=url, verify=trusted, trust_env=False, timeout=30) as client:
                until(lambda: answers(client), log=root / "caddy.log")
                yield client
        finally:
            process.terminate()


def until(true: Callable[[], bool], *, log: Path) -> None:
    for _ in range(600):
        if true():
            return
        time.sleep(0.05)
    raise AssertionError(log.read_text())


def answers(client: httpx.Client) -> bool:
    try:
        return client.get("/v1/fleet").status_code == 200
    except httpx.TransportError:
        return False


@needs_caddy
async def test_requests_and_streams_pass_through_caddy(
    settings: Settings, real_store: Store, fleet: Fleet, tmp_path: Path
) -> None:
    """Over TLS; whoever asks is known by his address, and `/metrics` is not for outside."""
    fleet.start("cpu0")
    await ready(real_store, 1)
    environ = {"VIIWORK_API_FORWARDED_ALLOW_IPS": '["127.0.0.1"]'}
    with Door(settings, **environ) as door, caddy(door, tmp_path) as http:
        sent = http.post("/v1/jobs", params={"wait": 20}, json=JOB)
        assert sent.json()["state"] == "succeeded", sent.text
        assert "max-age" in sent.headers["strict-transport-security"]
        assert sent.headers["x-content-type-options"] == "nosniff"
        followed = http.get(f"/v1/jobs/{sent.json()['id']}/events").text
        assert "event: end" in followed
        assert [http.get(path).status_code for path in ("/metrics", "/health/ready")] == [404, 404]
