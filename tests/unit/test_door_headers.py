"""What browsers are told with each answer, which pages may ask, behind which names, and what a log line is of."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import fakeredis
import httpx
import pytest

from standin import make_settings, make_store
from viiwork.api.app import create_app
from viiwork.api.logs import FORMAT, REQUEST, Named
from viiwork.errors import SettingsError
from viiwork.settings import load_settings

PAGE = "https://app.example.org"
Open = Callable[..., httpx.AsyncClient]


@pytest.fixture
async def service(tmp_path: Path) -> AsyncIterator[Open]:
    """Opens one with these settings of `api`."""
    async with AsyncExitStack() as undo:

        def start(**api: Any) -> httpx.AsyncClient:
            settings = make_settings(tmp_path, api=api)
            store = make_store(settings, fakeredis.FakeServer())
            undo.push_async_callback(store.close)
            transport = httpx.ASGITransport(create_app(settings, store), raise_app_exceptions=False)
            client = httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8400")
            undo.push_async_callback(client.aclose)
            return client

        yield start


@pytest.mark.parametrize("path", ["/health/live", "/v1/fleet", "/openapi.json", "/nothing", "/metrics"])
async def test_every_answer_guards_itself(service: Open, path: str) -> None:
    """Nothing is guessed to be a page, kept by a cache, or shown within one; none names the server or its version."""
    headers = (await service().get(path)).headers
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["cache-control"] == "no-store"
    assert headers["content-security-policy"] == "default-src 'none'; frame-ancestors 'none'"
    assert headers["cross-origin-resource-policy"] == "same-origin"
    assert headers["referrer-policy"] == "no-referrer"
    assert "server" not in headers


async def test_pages_of_other_origins_read_and_send_nothing_by_default(service: Open) -> None:
    """No header allows it, and what changes something is refused."""
    http = service()
    seen = await http.get("/v1/fleet", headers={"origin": PAGE})
    asked = await http.options("/v1/jobs", headers={"origin": PAGE, "access-control-request-method": "POST"})
    sent = await http.post("/v1/jobs", json={}, headers={"origin": PAGE})
    assert [name for answer in (seen, asked, sent) for name in answer.headers if "access-control" in name] == []
    assert (sent.status_code, sent.json()["error"]["code"]) == (403, "origin_refused")


async def test_pages_of_a_named_origin_may(service: Open) -> None:
    """That one alone; also what goes wrong can be read there."""
    http = service(cors_origins=[PAGE])
    asking = {"access-control-request-method": "POST", "access-control-request-headers": "authorization,content-type"}
    asked = await http.options("/v1/jobs", headers={"origin": PAGE, **asking})
    assert asked.status_code == 200
    assert asked.headers["access-control-allow-origin"] == PAGE
    assert "authorization" in asked.headers["access-control-allow-headers"]
    sent = await http.post("/v1/jobs", json={"messages": 1}, headers={"origin": PAGE})
    assert (sent.status_code, sent.headers["access-control-allow-origin"]) == (400, PAGE)
    assert "x-request-id" in sent.headers["access-control-expose-headers"]
    assert "access-control-allow-credentials" not in sent.headers
    other = await http.post("/v1/jobs", json={}, headers={"origin": "https://else.example.org"})
    assert other.status_code == 403
    assert "access-control-allow-origin" not in other.headers


async def test_behind_a_proxy_it_answers_to_its_name(service: Open) -> None:
    """And to no other: a page could point any name of its own at this computer."""
    asked = {"host": "viiwork.example.org", "origin": "https://viiwork.example.org"}
    assert (await service().get("/health/live", headers=asked)).json()["error"]["code"] == "host_refused"
    named = service(hosts=["viiwork.example.org"])
    assert (await named.get("/health/live", headers=asked)).status_code == 200
    assert (await named.post("/v1/jobs", json={}, headers=asked)).json()["error"]["code"] != "origin_refused"
    assert (await named.get("/health/live", headers={"host": "evil.example"})).status_code == 403


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("cors_origins", "*"),
        ("cors_origins", "https://app.example.org/page"),
        ("cors_origins", "app.example.org"),
        ("forwarded_allow_ips", "*"),
        ("forwarded_allow_ips", "caddy"),
    ],
)
def test_what_would_open_the_door_to_anybody_is_refused(field: str, value: str) -> None:
    """In one line that names the setting."""
    with pytest.raises(SettingsError, match=f"api.{field}"):
        load_settings({"api": {field: [value]}})


async def test_what_is_logged_while_a_request_is_answered_carries_its_id(
    service: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One grep finds all of it; what is logged outside of requests has none."""
    lines: list[str] = []
    handler = logging.Handler()
    handler.setFormatter(logging.Formatter(FORMAT))
    handler.addFilter(Named())
    monkeypatch.setattr(handler, "emit", lambda record: lines.append(handler.format(record)))
    log = logging.getLogger("viiwork")
    log.addHandler(handler)
    try:
        http = service()
        monkeypatch.setattr("viiwork.store.facade.Store.fleet", _fail)
        answer = await http.get("/v1/fleet", headers={"x-request-id": "mine-1"})
        log.warning("outside")
    finally:
        log.removeHandler(handler)
    assert (answer.status_code, answer.headers["x-request-id"]) == (500, "mine-1")
    assert any("viiwork.api [mine-1]: GET /v1/fleet failed with RuntimeError" in line for line in lines), lines
    assert any("viiwork: outside" in line for line in lines)
    assert REQUEST.get() == ""


async def _fail(*_: object, **__: object) -> None:
    raise RuntimeError("a secret of the document")
