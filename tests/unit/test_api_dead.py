"""Dead letters, pausing and priorities over HTTP, on a real store over fakeredis."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import fakeredis
import httpx
import pytest

from standin import make_settings, make_store
from tests.hands import Hands, document, items_of, open_batch, parts_of, sealed_batch
from tests.workers import make_job
from viiwork.api import dead
from viiwork.api.app import create_app
from viiwork.api.intake import Intake
from viiwork.jobs import State
from viiwork.store import Store
from viiwork.store.leases import Verdict

NOBODY = "job_00000000000000000000000000"


@dataclass
class Api:
    """The door, the store behind it, and a worker's hands."""

    http: httpx.AsyncClient
    store: Store
    desk: Intake

    async def post(self, path: str, body: Any = None, **headers: str) -> httpx.Response:
        return await self.http.post(path, json=body, headers={k.replace("_", "-"): v for k, v in headers.items()})

    async def letters(self, **params: Any) -> list[str]:
        """The ids of one page."""
        page = (await self.http.get("/v1/dead", params=params)).json()
        return [status["id"] for status in page["dead"]]

    async def die(self, count: int = 1) -> list[str]:
        """Jobs on their own that an engine fault has ended for good, the last one last."""
        jobs = [make_job() for _ in range(count)]
        await self.store.submit(jobs)
        return [await self.give_up(job.id) for job in jobs]

    async def give_up(self, job: str) -> str:
        """Let the next job of the lane die, which must be this one."""
        hands = Hands(self.store)
        await hands.beat()
        await self.store.release("batch.noop")
        fence = (await hands.take()).fence
        assert fence.job == job
        assert await hands.commit(fence, Verdict.RETRY, max_attempts=1) == ("ok", "dead")
        return job


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[Api]:
    settings = make_settings(tmp_path)
    store = make_store(settings, fakeredis.FakeServer())
    app = create_app(settings, store)
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8400") as http:
        yield Api(http, store, app.state.intake)
    await store.close()


def error(response: httpx.Response) -> dict[str, Any]:
    return {"status": response.status_code, **response.json()["error"]}


class TestDeadLetters:
    async def test_there_are_none_at_first(self, api: Api) -> None:
        assert (await api.http.get("/v1/dead")).json() == {"dead": []}
        for path in ("/v1/dead/retry", "/v1/dead/purge"):
            assert (await api.post(path)).json() == {"done": 0, "refused": []}

    async def test_each_tells_who_tried_it_how_often_and_what_went_wrong(self, api: Api) -> None:
        """The last to die comes first; nothing of what was asked is repeated."""
        first, second = await api.die(2)
        listed = (await api.http.get("/v1/dead")).json()["dead"]
        assert [status["id"] for status in listed] == [second, first]
        status = listed[0]
        assert (status["state"], status["model"], status["lane"], status["attempt"]) == ("dead", "noop", "batch", 1)
        (attempt,) = status["history"]
        assert (attempt["worker"], attempt["end"], attempt["attempt"]) == ("gpu0@here", "retry", 1)
        assert attempt["fault"]["message"] == "The card fell silent."
        assert "The card fell silent." in status["error"]["message"]
        assert "hello" not in (await api.http.get("/v1/dead")).text
        assert (await api.http.get(f"/v1/dead/{second}")).json() == status

    async def test_only_the_dead_are_shown(self, api: Api) -> None:
        """404 for a job that waits, one that there never was, and what cannot be an id."""
        job = make_job()
        await api.store.submit([job])
        waiting = error(await api.http.get(f"/v1/dead/{job.id}"))
        assert waiting["status"] == 404
        assert "queued" in waiting["message"] or "waiting" in waiting["message"]
        for any_id in (NOBODY, "nonsense", "an_00000000000000000000000000"):
            assert (await api.http.get(f"/v1/dead/{any_id}")).status_code == 404

    async def test_pages_follow_each_other_without_gaps(self, api: Api) -> None:
        """Even where many died in one millisecond."""
        ids = await api.die(7)
        moment_ms = (await api.store.job(ids[0])).finished_ms or 0
        for at, job in enumerate(ids):  # three moments: 2, 4 and 1 jobs
            died_ms = moment_ms + (0, 0, 1, 1, 1, 1, 2)[at]
            await api.store.client.hset(f"{api.store.prefix}job:{job}", "finished_ms", died_ms)
            await api.store.client.zadd(f"{api.store.prefix}dead", {job: died_ms})
        for limit in (1, 2, 3, 4, 5, 7, 8):
            seen: list[str] = []
            before: dict[str, int] = {}
            while True:
                page = (await api.http.get("/v1/dead", params={"limit": limit, **before})).json()
                seen += [status["id"] for status in page["dead"]]
                if "before" not in page:
                    break
                before = {"before": page["before"]}
            assert sorted(seen) == sorted(ids), limit
        for name, value in (("limit", 0), ("limit", 501), ("before", -1), ("before", "x")):
            answer = error(await api.http.get("/v1/dead", params={name: value}))
            assert (answer["status"], answer["param"]) == (400, name)


class TestRetrying:
    async def test_a_dead_job_starts_again_with_a_clean_slate(self, api: Api) -> None:
        """It is no dead letter any more, and what comes of it counts."""
        (job,) = await api.die()
        again = (await api.post(f"/v1/dead/{job}/retry")).json()
        assert again["state"] in ("waiting", "queued")
        assert again.get("strikes", 0) == 0
        assert await api.letters() == []
        hands = Hands(api.store)
        assert await hands.do() == job
        assert (await api.store.job(job)).state is State.SUCCEEDED

    async def test_a_job_that_is_not_dead_stays_as_it_is(self, api: Api) -> None:
        """409 with its state; 404 where there is none."""
        job = make_job()
        await api.store.submit([job])
        answer = error(await api.post(f"/v1/dead/{job.id}/retry"))
        assert answer["status"] == 409
        assert "queued" in answer["message"]
        assert error(await api.post(f"/v1/dead/{NOBODY}/retry"))["status"] == 404

    async def test_asking_again_after_a_lost_answer_is_no_conflict(self, api: Api) -> None:
        """The same Idempotency-Key: it is done already, which is what was asked for."""
        (job,) = await api.die()
        key = {"idempotency_key": "k1"}
        first = await api.post(f"/v1/dead/{job}/retry", **key)
        again = await api.post(f"/v1/dead/{job}/retry", **key)
        assert (first.status_code, again.status_code) == (200, 200)
        assert (await api.post(f"/v1/dead/{job}/retry", idempotency_key="k2")).status_code == 409
        assert error(await api.post(f"/v1/dead/{NOBODY}/retry", **key))["status"] == 409
        for _ in range(2):
            gone = await api.post(f"/v1/dead/{NOBODY}/retry", idempotency_key="k3")
            assert gone.status_code == 404

    async def test_asking_again_starts_nothing_twice_that_has_died_again_since(self, api: Api) -> None:
        """It stays a dead letter; a new key starts it."""
        (job,) = await api.die()
        one, some = f"/v1/dead/{job}/retry", "/v1/dead/retry"
        for key, path, body in (("k1", one, None), ("k2", some, {"ids": [job]}), ("k3", some, None)):
            assert (await api.post(path, body, idempotency_key=key)).status_code == 200
            await api.give_up(job)
            assert (await api.post(path, body, idempotency_key=key)).status_code == 200
            assert (await api.store.job(job)).state is State.DEAD
            assert await api.letters() == [job]

    async def test_those_named_start_again_and_the_others_are_named_with_their_reason(self, api: Api) -> None:
        """Asked twice with the same key it answers the same."""
        one, two, three = await api.die(3)
        waiting = make_job()
        await api.store.submit([waiting])
        body = {"ids": [one, waiting.id, NOBODY, "nonsense", three, one]}
        swept = (await api.post("/v1/dead/retry", body, idempotency_key="k")).json()
        assert swept["done"] == 2
        assert [(r["id"], r["code"] == "not_found") for r in swept["refused"]] == [
            (waiting.id, False),
            (NOBODY, True),
            ("nonsense", True),
        ]
        assert await api.letters() == [two]
        again = (await api.post("/v1/dead/retry", body, idempotency_key="k")).json()
        assert {refusal["id"] for refusal in again["refused"]} == {NOBODY, "nonsense"}

    async def test_all_start_again_a_page_at_a_time(self, api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
        """Each answer says where to go on; what dies meanwhile is not tried over and over."""
        monkeypatch.setattr(dead, "MOST", 2)
        ids = await api.die(5)
        for at, job in enumerate(ids):
            await api.store.client.hset(f"{api.store.prefix}job:{job}", "finished_ms", 1000 + at)
            await api.store.client.zadd(f"{api.store.prefix}dead", {job: 1000 + at})
        swept = (await api.post("/v1/dead/retry")).json()
        assert (swept["done"], swept["before"]) == (2, 1003)
        swept = (await api.post("/v1/dead/retry", {"before": swept["before"]})).json()
        assert (swept["done"], swept["before"]) == (2, 1001)
        swept = (await api.post("/v1/dead/retry", {"before": swept["before"]})).json()
        assert swept == {"done": 1, "refused": []}
        assert await api.letters() == []

    async def test_a_dead_part_takes_its_whole_document_along(self, api: Api) -> None:
        """The answer is the document's job, which starts again; the analysis runs once more."""
        batch = await open_batch(api.store)
        await api.store.submit([document(batch)])
        await api.store.seal(batch)
        reader = Hands(api.store, "reader0", model="read")
        fence = (await reader.take()).fence
        await api.store.submit(parts_of(fence.job, batch, 1), fence=fence)
        await reader.commit(fence, Verdict.CONTINUES)
        part = await api.give_up(f"{fence.job}l0p0")
        assert await api.letters() == [part]
        answer = (await api.post("/v1/dead/retry")).json()
        assert (answer["done"], answer["refused"]) == (1, [])
        assert (await api.store.job(fence.job)).state in (State.WAITING, State.QUEUED)

    @pytest.mark.parametrize(
        ("body", "field"),
        [
            ({"ids": []}, "ids"),
            ({"ids": ["x"] * 501}, "ids"),
            ({"ids": [3]}, "ids.0"),
            ({"ids": ["x"], "before": 3}, "ids"),
            ({"before": "x"}, "before"),
            ({"before": True}, "before"),
            ({"all": True}, "all"),
        ],
    )
    async def test_a_wrong_field_is_named(self, api: Api, body: dict[str, Any], field: str) -> None:
        """400, and nothing is done."""
        (job,) = await api.die()
        for path in ("/v1/dead/retry", "/v1/dead/purge"):
            answer = error(await api.post(path, body))
            assert (answer["status"], answer["param"]) == (400, field)
        assert await api.letters() == [job]


class TestPurging:
    async def test_what_is_purged_is_no_dead_letter_but_keeps_its_status(self, api: Api) -> None:
        """Twice is 404; a retry of the same request is not."""
        one, two = await api.die(2)
        purged = await api.http.delete(f"/v1/dead/{one}", headers={"idempotency-key": "k"})
        assert (purged.status_code, purged.json()["id"]) == (200, one)
        assert await api.letters() == [two]
        assert (await api.http.get(f"/v1/jobs/{one}")).json()["state"] == "dead"
        assert (await api.http.delete(f"/v1/dead/{one}", headers={"idempotency-key": "k"})).status_code == 200
        assert (await api.http.delete(f"/v1/dead/{one}")).status_code == 404
        assert (await api.http.delete(f"/v1/dead/{NOBODY}")).status_code == 404

    async def test_those_named_or_all_are_purged(self, api: Api) -> None:
        one, two, three = await api.die(3)
        swept = (await api.post("/v1/dead/purge", {"ids": [two, NOBODY]})).json()
        assert (swept["done"], [refusal["id"] for refusal in swept["refused"]]) == (1, [NOBODY])
        assert await api.letters() == [three, one]
        assert (await api.post("/v1/dead/purge")).json() == {"done": 2, "refused": []}
        assert await api.letters() == []


class TestSteering:
    async def test_a_paused_analysis_starts_nothing_until_it_is_resumed(self, api: Api) -> None:
        """What was released already is called back; both may be asked for twice."""
        batch = await sealed_batch(api.store, 5)
        for _ in range(2):
            paused = (await api.post(f"/v1/analyses/{batch}/pause")).json()
            assert (paused["paused"], paused["state"]) == (True, "running")
        hands = Hands(api.store)
        assert await hands.do_all() == []
        for _ in range(2):
            resumed = (await api.post(f"/v1/analyses/{batch}/resume")).json()
            assert resumed["paused"] is False
        assert len(await hands.do_all()) == 5

    async def test_a_priority_moves_an_analysis_ahead_of_its_submitters_others(self, api: Api) -> None:
        """At once; it is shown, and may be set to what it is."""
        first, second = await sealed_batch(api.store, 20), await sealed_batch(api.store, 20)
        for _ in range(2):
            answer = (await api.post(f"/v1/analyses/{second}/priority", {"priority": "high"})).json()
            assert answer["priority"] == "high"
        done = await Hands(api.store).do_all()
        assert sum(job.startswith(second) for job in done[:20]) > 12
        assert (await api.http.get(f"/v1/analyses/{first}")).json()["priority"] == "normal"

    @pytest.mark.parametrize("body", [{}, {"priority": "urgent"}, {"priority": None}, {"priority": "low", "x": 1}])
    async def test_a_wrong_priority_is_named(self, api: Api, body: dict[str, Any]) -> None:
        batch = await sealed_batch(api.store, 1)
        answer = error(await api.post(f"/v1/analyses/{batch}/priority", body))
        assert (answer["status"], answer["param"]) == (400, "x" if "x" in body else "priority")

    @pytest.mark.parametrize("verb", ["pause", "resume", "priority"])
    async def test_what_has_ended_is_a_conflict_that_says_its_state(self, api: Api, verb: str) -> None:
        batch = await sealed_batch(api.store, 1)
        await api.store.cancel_batch(batch)
        answer = error(await api.post(f"/v1/analyses/{batch}/{verb}", {"priority": "low"}))
        assert answer["status"] == 409
        assert "cancelled" in answer["message"]

    @pytest.mark.parametrize("verb", ["pause", "resume", "priority"])
    async def test_a_job_on_its_own_cannot_be_steered(self, api: Api, verb: str) -> None:
        """Nor can one document; what does not exist is 404."""
        batch = await open_batch(api.store)
        await api.store.submit([job := make_job(), *items_of(batch, 1)])
        for any_id in (job.id, f"{batch}-0"):
            answer = error(await api.post(f"/v1/analyses/{any_id}/{verb}", {"priority": "low"}))
            assert answer["status"] == 400
            assert "Only a whole analysis can be" in answer["message"]
        for any_id in ("an_00000000000000000000000000", "nonsense"):
            assert (await api.post(f"/v1/analyses/{any_id}/{verb}", {"priority": "low"})).status_code == 404

    async def test_the_description_knows_the_bodies(self, api: Api) -> None:
        """Every $ref of the OpenAPI document leads somewhere."""
        document_ = (await api.http.get("/openapi.json")).json()
        known = document_["components"]["schemas"]
        assert {"SomeDead", "PriorityBody", "DeadPage", "DeadSweep"} <= set(known)
        body = document_["paths"]["/v1/dead/retry"]["post"]["requestBody"]["content"]["application/json"]["schema"]
        assert body == {"$ref": "#/components/schemas/SomeDead"}
