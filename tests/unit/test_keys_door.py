"""API keys at the door: who comes in, what a key is for, and for how long it is one."""

from __future__ import annotations

import stat
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from keyed import JOB, TEXTS, Keyed, keyed_door
from viiwork.api import keyring
from viiwork.api.gate import check_keys, keys_on
from viiwork.api.scopes import NEEDS, Need
from viiwork.api.tenancy import NOBODYS, OWNED
from viiwork.apikeys import Scope, digest_of, id_in, new_id, new_secret
from viiwork.auditlog import AuditLog
from viiwork.errors import StartupError, StoreUnavailable
from viiwork.settings import ApiSection, Settings
from viiwork.store import apikeys

ADMIN = (Scope.ADMIN,)


@pytest.fixture
async def door(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Keyed]:
    monkeypatch.setattr(keyring, "FRESH_S", 0.0)  # so that nothing has to be waited for
    async with keyed_door(tmp_path) as made:
        yield made


def error(response: httpx.Response) -> dict[str, Any]:
    assert set(response.json()) == {"error"}
    assert set(response.json()["error"]) == {"message", "type", "param", "code"}
    return dict(response.json()["error"])


class TestTheTable:
    async def test_every_address_says_what_it_asks_of_a_key(self, door: Keyed) -> None:
        """Of the whole OpenAPI document; what it lacks would be for admins alone."""
        paths: dict[str, dict[str, Any]] = door.app.openapi()["paths"]
        there = {f"{method.upper()} {path}" for path, item in paths.items() for method in item}
        assert there - set(NEEDS) == set()

    async def test_every_name_in_a_path_is_somebodys_or_nobodys(self, door: Keyed) -> None:
        """What is neither could be another tenant's, and nobody would look."""
        paths = list(door.app.openapi()["paths"])
        named = {part[1:-1] for path in paths for part in path.split("/") if part.startswith("{")}
        assert named - set(OWNED) - NOBODYS == set()


class TestComingIn:
    async def test_without_a_key_nothing_is_answered_but_health(self, door: Keyed) -> None:
        """The same for every address, also for one that there is not."""
        for address, need in NEEDS.items():
            method, path = address.split()
            response = await door.http.request(method, path)
            if need is Need.NOTHING:
                assert response.status_code == 200, address
            elif need is not Need.WORKER_TOKEN:
                assert (response.status_code, error(response)["code"]) == (401, "invalid_api_key"), address
                assert response.headers["www-authenticate"] == "Bearer"
                assert response.headers["x-request-id"]
        assert (await door.http.get("/nowhere")).status_code == 401
        assert (await door.http.get("/openapi.json")).status_code == 401

    @pytest.mark.parametrize("shown", ["vw-", "Bearer", "Bearer ", "Basic dXNlcjpwYXNz", "Bearer sk-none", "Bearer é"])
    async def test_what_is_no_key_opens_nothing(self, door: Keyed, shown: str) -> None:
        """Whatever stands in the header."""
        response = await door.http.get("/v1/fleet", headers={"authorization": shown.encode()})
        assert response.status_code == 401

    async def test_a_wrong_secret_of_a_known_key_opens_nothing(self, door: Keyed) -> None:
        """The id in a key is no secret."""
        secret = await door.key("anna")
        forged = new_secret(id_in(secret))
        assert id_in(forged) == id_in(secret)
        response = await door.ask(forged, "GET", "/v1/fleet")
        assert error(response)["message"].startswith("Incorrect API key provided.")
        assert forged not in response.text

    async def test_a_worker_token_is_no_key_and_a_key_is_no_worker_token(self, door: Keyed) -> None:
        """Blobs have tokens of their own, which open nothing else."""
        token = door.app.state.shelf.tokens.create("box2")
        assert (await door.ask(token, "GET", "/v1/internal/blobs")).status_code == 200
        assert (await door.ask(token, "GET", "/v1/fleet")).status_code == 401
        admin = await door.key("boss", ADMIN)
        assert (await door.ask(admin, "GET", "/v1/internal/blobs")).status_code == 401

    async def test_whose_key_it_is_decides_whose_work_it_is(self, door: Keyed) -> None:
        """A label says nothing any more."""
        secret = await door.key("anna", tenant="lab")
        taken = await door.ask(secret, "POST", "/v1/jobs", json=JOB, headers={"x-viiwork-submitter": "ben"})
        assert taken.json()["tenant"] == "lab"
        who = (await door.ask(secret, "GET", "/v1/whoami")).json()
        assert (who["tenant"], who["scopes"], who["key"]["name"]) == ("lab", ["read", "submit"], "anna")


class TestScopes:
    async def test_each_scope_opens_its_own_and_an_admins_all(self, door: Keyed) -> None:
        """403 says which one is wanted; what is allowed may still be wrong in itself."""
        secrets = {scope: await door.key(scope.value, (scope,)) for scope in Scope}
        paths = door.app.openapi()["paths"]
        for address, need in NEEDS.items():
            method, path = address.split()
            if path not in paths:
                continue
            for scope, secret in secrets.items():
                if not isinstance(need, Scope) or address == "POST /v1/fleet/swaps" or path.startswith("/v1/keys/"):
                    continue
                response = await door.ask(secret, method, path.replace("{model_id}", "m"))
                refused = response.status_code == 403 and error(response)["code"] == "insufficient_scope"
                assert refused is not (scope in (need, Scope.ADMIN)), (address, scope, response.text)
                assert not refused or f"the scope {need}" in error(response)["message"]

    async def test_an_address_that_nobody_thought_of_is_for_admins(self, door: Keyed) -> None:
        """It fails on the safe side."""
        door.app.add_api_route("/v1/new", lambda: {}, methods=["GET"])
        assert (await door.ask(await door.key("anna"), "GET", "/v1/new")).status_code == 403
        assert (await door.ask(await door.key("boss", ADMIN), "GET", "/v1/new")).status_code == 200


class TestLife:
    async def test_a_revoked_key_opens_nothing(self, door: Keyed) -> None:
        """Nor is its name taken any more."""
        secret, admin = await door.key("anna"), await door.key("boss", ADMIN)
        assert (await door.ask(secret, "GET", "/v1/fleet")).status_code == 200
        gone = await door.ask(admin, "DELETE", "/v1/keys/anna")
        assert (gone.status_code, gone.json()["name"]) == (200, "anna")
        assert (await door.ask(secret, "GET", "/v1/fleet")).status_code == 401
        assert (await door.ask(admin, "DELETE", "/v1/keys/anna")).status_code == 404
        assert (await door.ask(await door.key("anna"), "GET", "/v1/fleet")).status_code == 200

    async def test_an_expired_key_says_so(self, door: Keyed) -> None:
        """To its holder alone."""
        secret = await door.key("anna", expires_s=0.05)
        while (response := await door.ask(secret, "GET", "/v1/fleet")).status_code == 200:
            pass
        assert error(response) | {"message": ""} == {
            **{"message": "", "type": "invalid_request_error", "param": None, "code": "invalid_api_key"}
        }
        assert "has expired" in error(response)["message"]

    async def test_after_a_rotation_both_are_valid_for_a_time(self, door: Keyed) -> None:
        """The one before that, not any more; and with 0 the old one ends at once."""
        first, admin = await door.key("anna"), await door.key("boss", ADMIN)
        second = (await door.ask(admin, "POST", "/v1/keys/anna/rotate")).json()["secret"]
        assert [(await door.ask(one, "GET", "/v1/fleet")).status_code for one in (first, second)] == [200, 200]
        third = (await door.ask(admin, "POST", "/v1/keys/anna/rotate", json={"overlap_s": 3600})).json()["secret"]
        answers = [(await door.ask(one, "GET", "/v1/fleet")).status_code for one in (first, second, third)]
        assert answers == [401, 200, 200]
        fourth = (await door.ask(admin, "POST", "/v1/keys/anna/rotate", json={"overlap_s": 0})).json()["secret"]
        answers = [(await door.ask(one, "GET", "/v1/fleet")).status_code for one in (second, third, fourth)]
        assert answers == [401, 401, 200]
        assert len({id_in(one) for one in (first, second, third, fourth)}) == 1

    async def test_a_rotation_that_is_sent_again_ends_nobodys_key(self, door: Keyed) -> None:
        """Its answer was lost: the secret in it never reached anybody, the one in use did."""
        first, admin = await door.key("anna"), await door.key("boss", ADMIN)
        again = {"headers": {"idempotency-key": "once"}}
        lost, had = [(await door.ask(admin, "POST", "/v1/keys/anna/rotate", **again)).json() for _ in range(2)]
        answers = [
            (await door.ask(one, "GET", "/v1/fleet")).status_code for one in (first, lost["secret"], had["secret"])
        ]
        assert answers == [200, 401, 200]

    async def test_what_was_found_is_known_for_a_while_and_outlives_redis_for_a_while(
        self, door: Keyed, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A second in all processes, and as long as Redis is away; a key that nobody has shown yet is not."""
        secret, other = await door.key("anna"), await door.key("ben")
        ring = keyring.Keyring(door.store)
        assert (await ring.holder(secret)).name == "anna"
        asked = []

        async def away(*_args: object) -> None:
            asked.append(1)
            raise StoreUnavailable("Redis does not answer.")

        monkeypatch.setattr(apikeys, "held_by", away)
        monkeypatch.setattr(keyring, "FRESH_S", 60.0)
        assert (await ring.holder(secret)).name == "anna"
        assert not asked
        monkeypatch.setattr(keyring, "FRESH_S", 0.0)
        assert (await ring.holder(secret)).name == "anna"
        assert asked
        with pytest.raises(StoreUnavailable):
            await ring.holder(other)
        monkeypatch.setattr(keyring, "AWAY_S", 0.0)
        with pytest.raises(StoreUnavailable):
            await ring.holder(secret)


class TestKeysOverHttp:
    async def test_a_key_is_made_shown_once_and_listed_without_its_secret(self, door: Keyed) -> None:
        """Nowhere in Redis either."""
        admin = await door.key("boss", ADMIN)
        body = {"name": "ci", "tenant": "lab", "scopes": ["submit"], "expires_s": 3600}
        made = await door.ask(admin, "POST", "/v1/keys", json=body)
        assert (made.status_code, made.headers["cache-control"]) == (201, "no-store")
        secret, key = made.json()["secret"], made.json()["key"]
        assert (key["name"], key["tenant"], key["scopes"]) == ("ci", "lab", ["submit"])
        assert key["expires_ms"] - key["created_ms"] == 3_600_000
        assert secret.startswith(key["hint"].split("…")[0]) and secret.endswith(key["hint"].split("…")[1])
        listed = await door.ask(admin, "GET", "/v1/keys")
        assert [one["name"] for one in listed.json()["keys"]] == ["boss", "ci"]
        assert secret not in listed.text and digest_of(secret) not in listed.text
        dump = [await door.store.client.hgetall(name) async for name in door.store.client.scan_iter("*apikey:*")]
        assert digest_of(secret) in str(dump) and secret not in str(dump)

    async def test_one_that_is_sent_again_is_one_key(self, door: Keyed) -> None:
        """With a secret that works; the lost one does not."""
        admin = await door.key("boss", ADMIN)
        sent = {"json": {"name": "ci"}, "headers": {"idempotency-key": "once"}}
        lost, had = [(await door.ask(admin, "POST", "/v1/keys", **sent)).json() for _ in range(2)]
        assert lost["key"]["id"] == had["key"]["id"]
        answers = [(await door.ask(one["secret"], "GET", "/v1/whoami")).status_code for one in (lost, had)]
        assert answers == [401, 200]

    @pytest.mark.parametrize(
        ("body", "param"),
        [
            ({"name": "boss"}, "name"),
            ({"name": "key_1"}, "name"),
            ({"name": "two words"}, "name"),
            ({"name": "a", "tenant": "ben smith"}, "tenant"),
            ({"name": "a", "scopes": []}, "scopes"),
            ({"name": "a", "scopes": ["root"]}, "scopes.0"),
            ({"name": "a", "expires_s": -1}, "expires_s"),
            ({"name": "a", "secret": "vw-mine"}, "secret"),
        ],
    )
    async def test_what_cannot_be_is_said_of_its_field(self, door: Keyed, body: dict[str, Any], param: str) -> None:
        """As everywhere."""
        refused = await door.ask(await door.key("boss", ADMIN), "POST", "/v1/keys", json=body)
        assert (refused.status_code, error(refused)["param"]) == (409 if body == {"name": "boss"} else 400, param)


class TestAudit:
    async def test_acts_of_admins_are_written_down_and_nothing_else(self, door: Keyed) -> None:
        """Who, what and to whom; in a file for its owner alone, without a secret."""
        admin, anna = await door.key("boss", ADMIN), await door.key("anna")
        secret = (await door.ask(admin, "POST", "/v1/keys", json={"name": "ci"})).json()["secret"]
        await door.ask(admin, "POST", "/v1/keys", json={"name": "ci"})  # 409: not done
        await door.ask(admin, "POST", "/v1/fleet/quarantine/lift", headers={"x-request-id": "r1"})
        mine = (await door.ask(anna, "POST", "/v1/analyses", json=TEXTS)).json()["id"]
        await door.ask(anna, "POST", f"/v1/analyses/{mine}/cancel")
        await door.ask(anna, "GET", "/v1/fleet")
        await door.ask(admin, "DELETE", f"/v1/analyses/{mine}")
        entries = list(AuditLog(door.root).read())
        assert [entry["act"] for entry in entries] == [
            *("key.created", "quarantine.lifted", "others.DELETE /v1/analyses/{analysis_id}"),
        ]
        assert [entry["by"] for entry in entries] == ["boss"] * 3
        assert entries[0]["said"] == {"name": "ci"}
        assert entries[1]["request"] == "r1"
        assert (entries[2]["owner"], entries[2]["said"]) == ("anna", {"analysis_id": mine})
        path = AuditLog(door.root).path
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert secret not in path.read_text() and admin not in path.read_text()

    async def test_a_disk_that_takes_no_more_keeps_no_act_back(self, door: Keyed) -> None:
        """A drain must be possible then, of all things."""
        AuditLog(door.root).path.mkdir()
        admin = await door.key("boss", ADMIN)
        assert (await door.ask(admin, "POST", "/v1/fleet/quarantine/lift")).status_code == 200


class TestTheStart:
    @pytest.mark.parametrize(
        ("api", "on"),
        [
            ({}, False),
            ({"host": "::1"}, False),
            ({"host": "localhost"}, False),
            ({"keys": "on"}, True),
            ({"host": "0.0.0.0"}, True),
            ({"host": ""}, True),
            ({"host": "192.168.1.2"}, True),
            ({"hosts": ["viiwork.example.org"]}, True),
            ({"host": "0.0.0.0", "keys": "off"}, False),
        ],
    )
    def test_keys_are_asked_for_off_loopback(self, api: dict[str, str], on: bool) -> None:
        """Unless somebody says otherwise."""
        assert keys_on(ApiSection(**api)) is on

    async def test_it_starts_off_loopback_with_keys_alone(self, door: Keyed) -> None:
        """Otherwise one line says what to type; and keys cannot be off there."""
        open_to_all = Settings(api={"host": "0.0.0.0"})
        with pytest.raises(StartupError, match=r"`viiwork keys create NAME --scope admin`, or listen on 127\.0\.0\.1"):
            await check_keys(open_to_all, door.store)
        with pytest.raises(StartupError, match=r"api.keys is off and api.host is 0\.0\.0\.0"):
            await check_keys(Settings(api={"host": "0.0.0.0", "keys": "off"}), door.store)
        with pytest.raises(StartupError, match=r"api.keys is off and api.hosts is viiwork\.example\.org"):
            await check_keys(Settings(api={"hosts": ["viiwork.example.org"], "keys": "off"}), door.store)
        with pytest.raises(StartupError, match=r"on viiwork\.example\.org needs API keys"):
            await check_keys(Settings(api={"hosts": ["viiwork.example.org"]}), door.store)
        await check_keys(Settings(), door.store)
        await door.key("anna")
        await check_keys(open_to_all, door.store)


def test_ids_and_secrets_are_told_apart() -> None:
    """By their form alone."""
    key_id = new_id()
    assert id_in(new_secret(key_id)) == key_id
    for no_key in ("", "vw-", new_secret(key_id)[:-1], f"{new_secret(key_id)}x", new_secret(key_id).upper()):
        assert id_in(no_key) == ""
