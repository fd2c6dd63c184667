"""Tenants apart: what is another's is answered as what never was, at every address of the OpenAPI document."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import httpx
import pytest

from keyed import JOB, TEXTS, Keyed, keyed_door
from standin import MODEL
from viiwork.apikeys import Scope
from viiwork.jobs import new_id
from viiwork.store.removal import purge

AS_JSON = {"content-type": "application/json"}
NEVER = {"job_id": "job", "analysis_id": "an"}
"""What an id of each kind begins with, where it has the usual form."""


@pytest.fixture
async def door(tmp_path: Path) -> AsyncIterator[Keyed]:
    async with keyed_door(tmp_path) as made:
        yield made


class People:
    """Anna has things, Ben has a key, and the boss an admin's."""

    def __init__(self, door: Keyed, keys: Mapping[str, str]) -> None:
        self.door, self.keys = door, keys

    async def ask(self, who: str, method: str, path: str, **request: Any) -> httpx.Response:
        return await self.door.ask(self.keys[who], method, path, **request)


@pytest.fixture
async def people(door: Keyed) -> People:
    keys = {"anna": await door.key("anna"), "ben": await door.key("ben")}
    return People(door, keys | {"boss": await door.key("boss", (Scope.ADMIN,))})


async def annas(people: People) -> dict[str, list[str]]:
    """The ids of things of every kind: under way, ended and dead, by the parameter that names one in a path."""
    documents = {"task": "summarize", "documents": [{"name": "crash", "text": "one"}, {"text": "two"}]}
    told = {"callback_url": "http://127.0.0.1:9/told"}
    job = (await people.ask("anna", "POST", "/v1/jobs", json=JOB)).json()["id"]
    whole = (await people.ask("anna", "POST", "/v1/analyses", json=documents)).json()["id"]
    await people.door.worker.work()
    open_job = (await people.ask("anna", "POST", "/v1/jobs", json=JOB)).json()["id"]
    open_one = (await people.ask("anna", "POST", "/v1/analyses", json=TEXTS)).json()["id"]
    refused = await people.ask("anna", "POST", "/v1/jobs", json=JOB | told)
    assert refused.status_code in (202, 400)  # loopback receivers are not told unless somebody allows that
    endpoint = await people.ask("anna", "POST", "/v1/callbacks/endpoints", json={"url": "https://example.org/told"})
    sent = {"data": {"purpose": "user_data"}, "files": {"file": ("a.txt", b"one")}}
    file = (await people.ask("anna", "POST", "/v1/files", **sent)).json()["id"]
    lines = {"data": {"purpose": "batch"}, "files": {"file": ("a.jsonl", b"{}")}}
    asked = {"endpoint": "/v1/embeddings", "completion_window": "24h"}
    asked["input_file_id"] = (await people.ask("anna", "POST", "/v1/files", **lines)).json()["id"]
    batch = (await people.ask("anna", "POST", "/v1/batches", json=asked)).json()["id"]
    return {
        "file_id": [file, asked["input_file_id"]],
        "batch_id": [batch],
        "job_id": [job, open_job, f"{whole}-0", f"{whole}-1"],
        "analysis_id": [whole, open_one],
        "endpoint_id": [endpoint.json()["endpoint"]["id"]],
    }


def addresses(door: Keyed) -> list[tuple[str, str, str]]:
    """Every method and path that names something of a tenant's, and the name's parameter."""
    paths: dict[str, dict[str, Any]] = door.app.openapi()["paths"]
    found = []
    for path, item in paths.items():
        names = re.findall(r"\{(\w+)\}", path)
        for method in item:
            found += [(method.upper(), path, name) for name in names if name not in ("key_name", "model_id")]
    return found


def complaint(response: httpx.Response, any_id: str) -> tuple[int, str, str]:
    told = response.json()["error"]
    return response.status_code, told["code"], told["message"].replace(any_id, "ID")


async def test_what_is_anothers_is_404_at_every_address(people: People) -> None:
    """In the very words, and with the same code, as what never was; whatever is asked to be done with it."""
    mine = await annas(people)
    assert addresses(people.door)
    for method, path, name in addresses(people.door):
        for any_id in mine[name]:
            never = new_id(NEVER[name]) if name in NEVER else f"{any_id[:-1]}0"
            theirs = await people.ask("ben", method, path.replace(f"{{{name}}}", any_id))
            nobodys = await people.ask("ben", method, path.replace(f"{{{name}}}", never))
            assert complaint(theirs, any_id) == complaint(nobodys, never), (method, path, any_id)
            assert theirs.status_code == 404, (method, path, any_id, theirs.text)


async def test_nothing_of_it_was_done(people: People) -> None:
    """Anna's things stand as they stood, and an admin sees them all."""
    mine = await annas(people)
    looks = [("job_id", "/v1/jobs/{}"), ("analysis_id", "/v1/analyses/{}"), ("batch_id", "/v1/batches/{}")]
    before = {one: (await people.ask("anna", "GET", at.format(one))).json() for kind, at in looks for one in mine[kind]}
    for method, path, name in addresses(people.door):
        for any_id in mine[name]:
            await people.ask("ben", method, path.replace(f"{{{name}}}", any_id))
    for kind, at in looks:
        for one in mine[kind]:
            assert (await people.ask("anna", "GET", at.format(one))).json() == before[one]
            assert (await people.ask("boss", "GET", at.format(one))).json() == before[one]
    endpoints = (await people.ask("anna", "GET", "/v1/callbacks/endpoints")).json()["endpoints"]
    assert [one["id"] for one in endpoints] == mine["endpoint_id"]
    for who in ("anna", "boss"):
        assert (await people.ask(who, "GET", f"/v1/files/{mine['file_id'][0]}/content")).content == b"one"
    assert (await people.ask("boss", "DELETE", f"/v1/files/{mine['file_id'][0]}")).status_code == 200


async def test_lists_have_ones_own_alone(people: People) -> None:
    """An admin's have everybody's."""
    mine = await annas(people)
    await people.ask("ben", "POST", "/v1/jobs", json=JOB)

    async def listed(who: str, path: str, field: str) -> list[Any]:
        found: list[Any] = (await people.ask(who, "GET", path)).json()[field]
        return found

    ids = {*mine["analysis_id"], *(f"an_{one.removeprefix('batch_')}" for one in mine["batch_id"])}
    assert {one["id"] for one in await listed("anna", "/v1/analyses", "analyses")} == ids
    assert {one["id"] for one in await listed("boss", "/v1/analyses?submitter=anna", "analyses")} == ids
    assert {one["id"] for one in await listed("boss", "/v1/analyses", "analyses")} == ids
    for query in ("", "?submitter=anna", "?submitter=ben"):
        assert await listed("ben", f"/v1/analyses{query}", "analyses") == []
    assert await listed("ben", "/v1/callbacks/endpoints", "endpoints") == []
    assert [one["id"] for one in await listed("anna", "/v1/files?order=asc", "data")] == mine["file_id"]
    assert [one["id"] for one in await listed("anna", "/v1/batches", "data")] == mine["batch_id"]
    for kind in ("files", "batches"):
        assert await listed("ben", f"/v1/{kind}", "data") == []
    assert [one["tenant"] for one in await listed("ben", "/v1/fleet", "tenants")] == ["ben"]
    assert {one["tenant"] for one in await listed("boss", "/v1/fleet", "tenants")} == {"anna", "ben"}


async def test_the_dead_are_ones_own_too(people: People) -> None:
    """Ids in a body are no way around it, and `all` is all of one's own."""
    door = people.door
    ids = []
    for who in ("anna", "ben"):
        job = (await people.ask(who, "POST", "/v1/jobs", json=JOB)).json()["id"]
        ids.append(job)
        await door.store.client.hset(f"{door.store.prefix}job:{job}", mapping={"state": "dead", "finished_ms": 1})
        await door.store.client.zadd(f"{door.store.prefix}dead", {job: 1})
    annas_job, bens_job = ids
    assert [one["id"] for one in (await people.ask("ben", "GET", "/v1/dead")).json()["dead"]] == [bens_job]
    assert len((await people.ask("boss", "GET", "/v1/dead")).json()["dead"]) == 2
    for verb in ("retry", "purge"):
        swept = (await people.ask("ben", "POST", f"/v1/dead/{verb}", json={"ids": [annas_job]})).json()
        assert swept["done"] == 0
        assert [(one["code"], one["message"]) for one in swept["refused"]] == [
            ("not_found", f"There is no job {annas_job}.")
        ]
    assert (await people.ask("ben", "POST", "/v1/dead/purge")).json()["done"] == 1
    assert [one["id"] for one in (await people.ask("anna", "GET", "/v1/dead")).json()["dead"]] == [annas_job]


async def test_callbacks_are_ones_own_too(people: People) -> None:
    """Listed, and sent once more."""
    door = people.door
    prefix, one = door.store.prefix, "msg_1_1"
    record = {"type": "job.completed", "subject": "job_x", "tenant": "anna", "url": "https://example.org/", "lane": "l"}
    await door.store.client.hset(f"{prefix}callback:{one}", mapping=record | {"state": "dead", "created_ms": 1})
    await door.store.client.zadd(f"{prefix}callbacks.dead", {one: 1})
    assert [
        len((await people.ask(who, "GET", "/v1/callbacks?state=dead")).json()["callbacks"]) for who in people.keys
    ] == [*(1, 0, 1)]
    for body in ({"ids": [one]}, {}):
        assert (await people.ask("ben", "POST", "/v1/callbacks/replay", json=body)).json()["done"] == 0
    assert (await people.ask("anna", "POST", "/v1/callbacks/replay", json={"ids": [one]})).json()["done"] == 1


@pytest.mark.parametrize("kind", ["analysis", "batch", "chat"])
async def test_a_file_in_a_body_is_ones_own_too(people: People, kind: str) -> None:
    """Of a document, of a batch's input, of a part of a chat: anothers' is none."""
    sent = {"data": {"purpose": "user_data"}, "files": {"file": ("a.txt", b"one")}}
    file = (await people.ask("anna", "POST", "/v1/files", **sent)).json()["id"]
    part = {"type": "file", "file": {"file_id": file}}
    path, body = {
        "analysis": ("/v1/analyses", {"task": "summarize", "documents": [{"file_id": file}]}),
        "batch": (
            "/v1/batches",
            {"endpoint": "/v1/embeddings", "completion_window": "24h", "input_file_id": file},
        ),
        "chat": ("/v1/chat/completions", {"model": MODEL, "messages": [{"role": "user", "content": [part]}]}),
    }[kind]
    theirs = await people.ask("ben", "POST", path, json=body)
    never = await people.ask(
        "ben", "POST", path, content=json.dumps(body).replace(file, f"{file[:-1]}0"), headers=AS_JSON
    )
    assert theirs.status_code in (400, 404), theirs.text
    assert complaint(theirs, file) == complaint(never, f"{file[:-1]}0")


async def test_what_was_deleted_is_told_to_its_owner_alone(people: People) -> None:
    """410 with its date to Anna, and while it is going; 404 to Ben, as ever."""
    whole = (await people.ask("anna", "POST", "/v1/analyses", json=TEXTS)).json()["id"]
    job = (await people.ask("anna", "POST", "/v1/jobs", json=JOB)).json()["id"]
    assert (await people.ask("anna", "DELETE", f"/v1/analyses/{whole}")).status_code in (200, 202)
    await people.ask("anna", "POST", f"/v1/jobs/{job}/cancel")
    store = people.door.store
    await store.client.zadd(f"{store.prefix}expiry", {job: 1})
    while await purge(store):
        pass
    for path in (f"/v1/analyses/{whole}", f"/v1/jobs/{whole}-0", f"/v1/jobs/{job}"):
        statuses = [(await people.ask(who, "GET", path)).status_code for who in ("anna", "boss", "ben")]
        assert statuses == [410, 410, 404], path
    assert (await people.ask("ben", "DELETE", f"/v1/analyses/{whole}")).status_code == 404


async def test_an_idempotency_key_of_one_tenant_says_nothing_to_another(people: People) -> None:
    """Each has its own."""
    sent = {"json": JOB, "headers": {"idempotency-key": "monday"}}
    first, again = [(await people.ask("anna", "POST", "/v1/jobs", **sent)).json()["id"] for _ in range(2)]
    theirs = (await people.ask("ben", "POST", "/v1/jobs", **sent)).json()["id"]
    assert first == again != theirs


async def test_two_keys_of_one_tenant_see_the_same(people: People) -> None:
    """A tenant is not a key."""
    mine = (await people.ask("anna", "POST", "/v1/analyses", json=TEXTS)).json()["id"]
    other = await people.door.key("annas-script", tenant="anna")
    assert (await people.door.ask(other, "GET", f"/v1/analyses/{mine}")).status_code == 200


async def test_pages_of_callbacks_tell_nothing_of_others(people: People) -> None:
    """Neither by where the next page begins nor by what stands behind another's."""
    store = people.door.store
    ids = [f"msg_{number}_1" for number in range(6)]
    for number, one in enumerate(ids):
        tenant = "anna" if number % 2 else "ben"
        record: dict[str, str | int] = {"type": "job.completed", "subject": "job_x", "tenant": tenant, "lane": "l"}
        record |= {"url": "https://x.example/", "state": "dead", "created_ms": number}
        await store.client.hset(f"{store.prefix}callback:{one}", mapping=record)
        await store.client.zadd(f"{store.prefix}callbacks.dead", {one: number})

    async def page(query: str) -> tuple[list[str], str | None]:
        told = (await people.ask("ben", "GET", f"/v1/callbacks?state=dead&{query}")).json()
        return [each["id"] for each in told["callbacks"]], told.get("before")

    assert await page("limit=1") == ([ids[4]], ids[4])
    assert await page(f"limit=1&before={ids[4]}") == ([ids[2]], ids[2])
    assert await page(f"limit=1&before={ids[2]}") == ([ids[0]], None)
    assert await page(f"before={ids[5]}") == await page("before=msg_9_9") == ([], None)


async def test_pages_of_the_dead_tell_nothing_of_others(people: People) -> None:
    """When others' jobs died is told by no page, not even by where the next one begins."""
    store = people.door.store
    jobs: dict[str, list[str]] = {"anna": [], "ben": []}
    for moment in range(1, 7):
        who = "ben" if moment % 2 else "anna"
        job = str((await people.ask(who, "POST", "/v1/jobs", json=JOB)).json()["id"])
        await store.client.hset(f"{store.prefix}job:{job}", mapping={"state": "dead", "finished_ms": 10 * moment})
        await store.client.zadd(f"{store.prefix}dead", {job: 10 * moment})
        jobs[who].append(job)

    async def page(query: str) -> tuple[list[str], int | None]:
        told = (await people.ask("ben", "GET", f"/v1/dead?{query}")).json()
        return [each["id"] for each in told["dead"]], told.get("before")

    first, second, third = jobs["ben"]
    assert await page("limit=1") == ([third], 31)
    assert await page("limit=1&before=31") == ([second], 11)
    assert await page("limit=1&before=11") == ([first], None)
    assert await page("limit=2") == ([third, second], 11)
    for one in (second, third):  # in one moment: they stay together
        await store.client.hset(f"{store.prefix}job:{one}", mapping={"finished_ms": 30})
        await store.client.zadd(f"{store.prefix}dead", {one: 30})
    found, before = await page("limit=1")
    assert (set(found), before) == ({second, third}, 11)
