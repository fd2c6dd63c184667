"""The HTTP door, on a real store over fakeredis."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import fakeredis
import httpx
import pytest
from fastapi import FastAPI

from indoors import indoors
from standin import MODEL, StandIn, make_settings, make_store
from viiwork.api.app import create_app
from viiwork.errors import StoreUnavailable
from viiwork.store import Store


@dataclass
class Api:
    """The application, its store, a worker and a client that calls it in this very loop."""

    app: FastAPI
    store: Store
    worker: StandIn
    http: httpx.AsyncClient
    blobs: Path

    def blob_files(self) -> list[Path]:
        return [path for path in self.blobs.rglob("*") if path.is_file()]

    async def analyze(self, **fields: Any) -> httpx.Response:
        body = {"task": "summarize", "documents": [{"text": "one"}, {"text": "two"}]} | fields
        return await self.http.post("/v1/analyses", json=body)


LIMITS = {"max_document_bytes": 1000, "max_upload_bytes": 6000, "max_documents": 5, "max_json_bytes": 3000}


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[Api]:
    async with indoors(tmp_path, api=LIMITS) as door:
        yield Api(door.app, door.store, door.worker, door.http, tmp_path / "blobs")


JOB = {"model": MODEL, "messages": [{"role": "user", "content": "hello"}]}


def error(response: httpx.Response) -> dict[str, Any]:
    assert set(response.json()) == {"error"}
    assert set(response.json()["error"]) == {"message", "type", "param", "code"}
    return dict(response.json()["error"])


class TestJobs:
    async def test_a_job_is_taken_run_and_answered(self, api: Api) -> None:
        """POST gives 202 and an id; GET gives the answer once a worker has run it."""
        taken = await api.http.post("/v1/jobs", json=JOB | {"custom_id": "mine", "metadata": {"a": "b"}})
        assert taken.status_code == 202
        assert taken.json()["state"] in ("waiting", "queued")
        await api.worker.work()
        done = (await api.http.get(taken.headers["location"])).json()
        assert (done["state"], done["custom_id"], done["metadata"]) == ("succeeded", "mine", {"a": "b"})
        assert "hello" in done["answer"]["text"]

    async def test_waiting_for_a_job_ends_with_its_time(self, api: Api) -> None:
        """`wait` does not keep a caller longer than it says; nobody works here."""
        taken = await api.http.post("/v1/jobs?wait=0.1", json=JOB)
        assert taken.json()["state"] in ("waiting", "queued")

    async def test_a_model_that_nobody_serves_is_404_with_what_is_served(self, api: Api) -> None:
        """The answer names the models that would work."""
        answer = await api.http.post("/v1/jobs", json=JOB | {"model": "gpt"})
        assert answer.status_code == 404
        assert error(answer)["code"] == "model_not_found"
        assert MODEL in error(answer)["message"]

    @pytest.mark.parametrize(
        ("change", "field"),
        [
            ({"messages": []}, "messages"),
            ({"messages": [{"role": "user", "content": 3}]}, "messages.0.content"),
            ({"temprature": 1}, "temprature"),
            ({"lane": "fast"}, "lane"),
            ({"timeout_s": -1}, "timeout_s"),
            ({"metadata": {f"k{n}": "v" for n in range(17)}}, "metadata"),
            ({"max_output_tokens": True}, "max_output_tokens"),
            ({"temperature": True}, "temperature"),
            ({"timeout_s": True}, "timeout_s"),
        ],
    )
    async def test_a_wrong_field_is_named(self, api: Api, change: dict[str, Any], field: str) -> None:
        """400 with the field in `param`, also for a field that does not exist."""
        answer = await api.http.post("/v1/jobs", json=JOB | change)
        assert answer.status_code == 400
        assert error(answer)["param"] == field

    @pytest.mark.parametrize("name", ["priorty", "wait_s", "lane", "n" * 100])
    async def test_a_query_parameter_that_a_job_does_not_have_is_named(self, api: Api, name: str) -> None:
        """400 with the known ones; what belongs into the body is not passed over in silence either."""
        answer = await api.http.post("/v1/jobs", json=JOB, params={"wait": "0", name: "batch"})
        assert (answer.status_code, error(answer)["param"]) == (400, name[:64])
        assert error(answer)["message"].endswith("there is no such query parameter of a single job. Known are wait.")

    async def test_without_a_model_it_is_the_only_one_that_is_served(self, api: Api) -> None:
        """As for analyses and files of jobs: with two, 400 names the choice; nothing of it is taken."""
        for unnamed in ({"messages": JOB["messages"]}, JOB | {"model": None}):
            taken = await api.http.post("/v1/jobs", json=unnamed)
            assert (taken.status_code, taken.json()["model"]) == (202, MODEL), taken.text
        await StandIn(api.store, "other").join()
        api.app.state.intake._fleet._seen = None
        open_choice = await api.http.post("/v1/jobs", json={"messages": JOB["messages"]})
        assert (open_choice.status_code, error(open_choice)["param"]) == (400, "model")
        assert MODEL in error(open_choice)["message"] and "other" in error(open_choice)["message"]

    async def test_the_same_key_gives_the_same_job_and_another_body_is_409(self, api: Api) -> None:
        """An Idempotency-Key stands for one request."""
        key = {"idempotency-key": "k1"}
        first = await api.http.post("/v1/jobs", json=JOB, headers=key)
        again = await api.http.post("/v1/jobs", json=JOB, headers=key)
        other = await api.http.post("/v1/jobs", json=JOB | {"temperature": 1}, headers=key)
        assert first.json()["id"] == again.json()["id"]
        assert (other.status_code, error(other)["code"]) == (409, "idempotency_conflict")
        assert other.headers["x-should-retry"] == "false"

    async def test_cancel_and_unknown_ids(self, api: Api) -> None:
        """A waiting job is cancelled at once; what does not exist is 404."""
        taken = (await api.http.post("/v1/jobs", json=JOB)).json()
        cancelled = await api.http.post(f"/v1/jobs/{taken['id']}/cancel")
        assert cancelled.json()["state"] == "cancelled"
        for path in ("/v1/jobs/nonsense", "/v1/jobs/job_00000000000000000000000000", "/v1/jobs/an_" + "0" * 26):
            assert (await api.http.get(path)).status_code == 404
        assert (await api.http.post("/v1/jobs/job_00000000000000000000000000/cancel")).status_code == 404
        for path in ("/v1/jobs/nonsense", "/v1/jobs/an_" + "0" * 26):  # both kinds of ids are named
            message = error(await api.http.get(path))["message"]
            assert "`job_`" in message and "`an_…-12`" in message


class TestAnalysesOfTexts:
    async def test_texts_become_rows_with_what_was_said_of_them(self, api: Api) -> None:
        """custom_id, metadata and name come back in every row; a bad document has its own reason."""
        documents = [
            {"text": "alpha", "custom_id": "c1", "metadata": {"x": "y"}, "name": "first"},
            {"text": "beta", "name": "bad one"},
            {"text": "gamma"},
        ]
        taken = await api.analyze(documents=documents)
        assert (taken.status_code, taken.json()["state"], taken.json()["counts"]["total"]) == (202, "running", 3)
        await api.worker.work()
        status = (await api.http.get(taken.headers["location"])).json()
        assert (status["state"], status["counts"]["succeeded"], status["counts"]["failed"]) == ("completed", 2, 1)
        answer = await api.http.get(taken.headers["location"] + "/results")
        assert answer.headers["content-type"].startswith("application/x-ndjson")
        rows = {row["index"]: row for row in map(json.loads, answer.text.splitlines())}
        assert rows[0]["custom_id"] == "c1" and rows[0]["metadata"] == {"x": "y"} and rows[0]["document"] == "first"
        assert rows[0]["answer"]["text"] == "It says: alpha" and rows[0]["analysis"] == status["id"]
        assert rows[1]["error"]["code"] == "damaged" and rows[1]["state"] == "failed"
        assert rows[2]["document"] == "text-3"

    async def test_results_go_on_after_the_rows_one_has(self, api: Api) -> None:
        """`after` and `limit` cut a list whose order never changes."""
        taken = await api.analyze(documents=[{"text": str(n)} for n in range(5)])
        await api.worker.work()
        path = taken.headers["location"] + "/results"
        whole = (await api.http.get(path)).text.splitlines()
        parts = [(await api.http.get(path, params={"after": n, "limit": 2})).text.splitlines() for n in (0, 2, 4, 6)]
        assert [len(part) for part in parts] == [2, 2, 1, 0]
        assert [line for part in parts for line in part] == whole
        for name, value in (("after", -1), ("after", 2**63 - 1), ("limit", 2**63 - 1), ("limit", 0)):
            answer = await api.http.get(path, params={name: value})
            assert (answer.status_code, error(answer)["param"]) == (400, name)
        assert (await api.http.get(path, params={"after": 2**53, "limit": 2**53})).text == ""

    async def test_a_retry_with_the_same_key_never_doubles(self, api: Api) -> None:
        """The second POST answers with the first one's analysis; another body is refused."""
        key = {"idempotency-key": "k"}
        body = {"task": "summarize", "documents": [{"text": "one"}]}
        answers = [await api.http.post("/v1/analyses", json=body, headers=key) for _ in range(3)]
        assert len({answer.json()["id"] for answer in answers}) == 1
        other = await api.http.post(
            "/v1/analyses", json=body | {"task": "ask", "options": {"question": "?"}}, headers=key
        )
        assert other.status_code in (400, 409)
        await api.worker.work()
        assert (await api.store.batch(answers[0].json()["id"])).counts.total == 1

    async def test_two_submitters_may_use_the_same_key(self, api: Api) -> None:
        """Keys belong to whoever sends them."""
        body = {"task": "summarize", "documents": [{"text": "one"}]}
        ids = set()
        for who in ("ann@a", "bob@b"):
            headers = {"idempotency-key": "k", "x-viiwork-submitter": who}
            ids.add((await api.http.post("/v1/analyses", json=body, headers=headers)).json()["id"])
        assert len(ids) == 2

    @pytest.mark.parametrize(
        ("change", "field"),
        [
            ({"task": "translate"}, "task"),
            ({"task": "classify"}, "labels"),
            ({"task": "ask"}, "question"),
            ({"documents": []}, "documents"),
            ({"documents": [{"text": "a"}, {"text": 5}]}, "documents.1.text"),
            ({"documents": [{"text": "a", "txet": "b"}]}, "documents.0.txet"),
            ({"callback_url": "http://x"}, "callback_url"),
            ({"options": {"labels": "a"}}, "options.labels"),
            ({"options": {"max_output_tokens": True}}, "options.max_output_tokens"),
        ],
    )
    async def test_a_wrong_field_is_named(self, api: Api, change: dict[str, Any], field: str) -> None:
        """400 with the field in `param`."""
        answer = await api.analyze(**change)
        assert answer.status_code == 400, answer.text
        assert field in str(error(answer)["param"])

    async def test_an_answer_longer_than_the_model_s_context_is_refused(self, api: Api) -> None:
        """Before anything is uploaded, not document by document; a model that does not tell its context takes it."""
        options = {"max_output_tokens": 8000}
        await StandIn(api.store, "small", context_tokens=4096).join()
        api.app.state.intake._fleet._seen = None
        answer = await api.analyze(model="small", options=options)
        assert (answer.status_code, error(answer)["param"]) == (400, "options")
        assert "4,096 tokens" in error(answer)["message"]
        assert (await api.analyze(model="small")).status_code == 202
        assert (await api.analyze(model=MODEL, options=options)).status_code == 202

    async def test_limits_name_themselves(self, api: Api) -> None:
        """413 says which limit it was and how to raise it."""
        many = await api.analyze(documents=[{"text": "a"}] * 6)
        large = await api.analyze(documents=[{"text": "a" * 4000}])
        assert [answer.status_code for answer in (many, large)] == [413, 413]
        assert "VIIWORK_API_MAX_DOCUMENTS" in error(many)["message"]
        assert "VIIWORK_API_MAX_JSON_BYTES" in error(large)["message"]

    async def test_cancel_ends_what_has_not_ended(self, api: Api) -> None:
        """What was answered keeps its answer."""
        taken = (await api.analyze()).json()
        cancelled = (await api.http.post(f"/v1/analyses/{taken['id']}/cancel")).json()
        assert cancelled["counts"]["cancelled"] == 2
        assert (await api.http.post("/v1/analyses/an_00000000000000000000000000/cancel")).status_code == 404

    async def test_with_two_models_one_must_be_named(self, api: Api) -> None:
        """400 names the choice; naming one works."""
        await StandIn(api.store, "other").join()
        api.app.state.intake._fleet._seen = None
        answer = await api.analyze()
        assert answer.status_code == 400
        assert MODEL in error(answer)["message"] and "other" in error(answer)["message"]
        assert (await api.analyze(model="other")).json()["model"] == "other"


Part = tuple[str, tuple[str | None, bytes | str]]


class TestUploads:
    async def send(self, api: Api, *parts: Part, **fields: str) -> httpx.Response:
        form = [(name, (None, value)) for name, value in ({"task": "summarize"} | fields).items()]
        return await api.http.post("/v1/analyses", files=[*form, *parts])

    async def test_files_become_blobs_and_rows(self, api: Api) -> None:
        """Files of the same name stay apart, each with its own note."""
        notes = json.dumps([{"custom_id": "a"}, {"custom_id": "b", "name": "renamed.txt"}])
        parts = [("files", ("x.txt", b"first")), ("files", ("x.txt", b"second"))]
        taken = await self.send(api, *parts, documents=notes)
        assert taken.status_code == 202, taken.text
        assert len(api.blob_files()) == 2
        await api.worker.work()
        rows = [row async for row in api.store.rows(taken.json()["id"])]
        found = {row.index: (row.custom_id, row.document, row.answer and row.answer.text) for row in rows}
        assert found == {0: ("a", "x.txt", "It says: first"), 1: ("b", "renamed.txt", "It says: second")}

    async def test_options_may_come_as_fields_or_as_json(self, api: Api) -> None:
        """`labels` as typed, `options` as JSON."""
        part = ("files", ("a.txt", b"x"))
        typed = await self.send(api, part, task="classify", labels="invoice:asks for money,letter")
        as_json = await self.send(api, part, task="classify", options='{"labels": ["invoice", {"name": "letter"}]}')
        asked = await self.send(api, part, task="ask", question="Who?")
        assert [answer.status_code for answer in (typed, as_json, asked)] == [202, 202, 202]

    @pytest.mark.parametrize(
        ("fields", "parts", "field"),
        [
            ({}, [], "files"),
            ({"colour": "red"}, [("files", ("a", b"x"))], "colour"),
            ({"documents": "[]"}, [("files", ("a", b"x"))], "documents"),
            ({"documents": '[{"id": 1}]'}, [("files", ("a", b"x"))], "documents.0.id"),
            ({"options": "{"}, [("files", ("a", b"x"))], "options"),
            ({"options": "[]"}, [("files", ("a", b"x"))], "options"),
            ({"lane": "slow"}, [("files", ("a", b"x"))], "lane"),
            ({"model": "nobody"}, [("files", ("a", b"x"))], "model"),
            ({"callback_url": "http://x"}, [("files", ("a", b"x"))], "callback_url"),
            ({}, [("file", ("a", b"x"))], "file"),
            ({}, [("files", (None, b"x"))], "files"),
            ({f"f{n}": "" for n in range(40)}, [], "f31"),
            ({"n" * 100: ""}, [], "n" * 64),
        ],
    )
    async def test_what_is_wrong_is_named_and_leaves_no_blob(
        self, api: Api, fields: dict[str, str], parts: list[Part], field: str
    ) -> None:
        """A refused upload leaves nothing on disk."""
        answer = await self.send(api, *parts, **fields)
        assert answer.status_code in (400, 404), answer.text
        assert error(answer)["param"] == field
        assert api.blob_files() == []

    @pytest.mark.parametrize(
        ("parts", "setting"),
        [
            ([("files", ("small", b"x")), ("files", ("big", b"x" * 1001))], "max_document_bytes"),
            ([("files", ("a", b"x"))] * 6, "max_documents"),
            ([("files", ("a", b"x" * 999))] * 5 + [("question", (None, b"x" * 2000))], "max_upload_bytes"),
            ([("question", (None, b"x" * 3001))], "max_json_bytes"),
            ([(f"{n}" + "x" * 500, (None, b"")) for n in range(6)], "max_json_bytes"),
        ],
    )
    async def test_each_limit_is_413_and_leaves_no_blob(self, api: Api, parts: list[Part], setting: str) -> None:
        """The message names the setting."""
        answer = await self.send(api, *parts)
        assert answer.status_code == 413
        assert f"api.{setting}" in error(answer)["message"]
        assert api.blob_files() == []

    @pytest.mark.parametrize("cut", [10, 120, 200, -5])
    async def test_an_upload_that_breaks_off_leaves_no_blob(self, api: Api, cut: int) -> None:
        """A body without its closing boundary is 400, whatever had come of it."""
        request = httpx.Request("POST", "http://x", files=[("files", ("a", b"y" * 100)), ("files", ("b", b"y" * 100))])
        headers = {"content-type": request.headers["content-type"]}
        answer = await api.http.post("/v1/analyses", content=request.read()[:cut], headers=headers)
        assert answer.status_code == 400
        assert api.blob_files() == []

    @pytest.mark.parametrize("head", ['form-data; name=""', 'form-data; filename="a"', "form-data"])
    async def test_a_part_without_a_name_is_said_to_have_none(self, api: Api, head: str) -> None:
        """Whether field or file."""
        body = f"--x\r\nContent-Disposition: {head}\r\n\r\ny\r\n--x--\r\n"
        headers = {"content-type": "multipart/form-data; boundary=x"}
        answer = await api.http.post("/v1/analyses", content=body, headers=headers)
        assert answer.status_code == 400
        assert error(answer)["message"] == "A part of the form has no name."

    async def test_a_body_that_is_no_form_is_400(self, api: Api) -> None:
        """Neither rubbish nor a missing boundary is a fault of ours."""
        for kind in ("multipart/form-data; boundary=x", "multipart/form-data", "text/plain", ""):
            answer = await api.http.post("/v1/analyses", content=b"rubbish", headers={"content-type": kind})
            assert answer.status_code == 400, kind
            error(answer)

    async def test_a_retry_keeps_one_copy_of_each_file(self, api: Api) -> None:
        """The second upload's blobs go once it is seen to be the same request."""
        request = httpx.Request("POST", "http://x", files=[("task", (None, "summarize")), ("files", ("a", b"y" * 100))])
        headers = {"content-type": request.headers["content-type"], "idempotency-key": "k"}
        ids = {
            (await api.http.post("/v1/analyses", content=request.read(), headers=headers)).json()["id"] for _ in "12"
        }
        assert len(ids) == 1
        assert len(api.blob_files()) == 1

    async def test_a_retry_goes_on_where_the_first_try_broke(self, api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
        """Documents that were submitted keep their first copy, the others are submitted now."""
        monkeypatch.setattr("viiwork.api.intake.SLICE", 2)
        form = [("task", (None, "summarize")), *(("files", (f"f{n}", b"y%d" % n)) for n in range(5))]
        request = httpx.Request("POST", "http://x", files=form)
        headers = {"content-type": request.headers["content-type"], "idempotency-key": "k"}
        api.app.state.intake.store = Flaky(api.store, good_submits=1)
        broken = await api.http.post("/v1/analyses", content=request.read(), headers=headers)
        assert broken.status_code == 500
        api.app.state.intake.store = api.store
        taken = await api.http.post("/v1/analyses", content=request.read(), headers=headers)
        assert (taken.status_code, taken.json()["counts"]["total"]) == (202, 5)
        await api.worker.work()
        rows = [row async for row in api.store.rows(taken.json()["id"])]
        assert sorted(row.answer.text for row in rows if row.answer) == [f"It says: y{n}" for n in range(5)]

    @pytest.mark.parametrize(("taken", "left"), [(0, 0), (2, 2)])
    async def test_a_failed_submit_keeps_the_blobs_of_what_was_taken_and_no_others(
        self, api: Api, taken: int, left: int
    ) -> None:
        """A store may take some documents in before it fails; those may be read any moment."""
        api.app.state.intake.store = Flaky(api.store, good_submits=0, taken=taken)
        answer = await self.send(api, *(("files", (f"f{n}", b"y%d" % n)) for n in range(5)))
        assert answer.status_code == 500
        assert sorted(path.read_bytes() for path in api.blob_files()) == [b"y0", b"y1"][:left]

    async def test_blobs_stay_while_the_store_cannot_tell_what_it_took(self, api: Api) -> None:
        """A job without its blob would be worse than a blob without its job."""
        api.app.state.intake.store = Flaky(api.store, good_submits=0, silent=True)
        answer = await self.send(api, ("files", ("a", b"x")))
        assert answer.status_code == 500
        assert len(api.blob_files()) == 1

    async def test_hostile_names_are_only_names(self, api: Api) -> None:
        """Paths, quotes and control characters in a filename do no harm."""
        name = '../../etc/\x1b[31mpasswd"; x="\r\n'
        taken = await self.send(api, ("files", ("a", b"x")), documents=json.dumps([{"name": name}]))
        await api.worker.work()
        (row,) = [row async for row in api.store.rows(taken.json()["id"])]
        assert row.document == '../../etc/[31mpasswd"; x="'
        assert all(path.is_relative_to(api.blobs) for path in api.blob_files())


class Flaky:
    """A store whose disk of luck runs out after some submits."""

    def __init__(self, store: Store, *, good_submits: int, taken: int = 0, silent: bool = False) -> None:
        self._store, self._left, self._taken, self._silent = store, good_submits, taken, silent

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def submit(self, jobs: Any, **options: Any) -> int:
        self._left -= 1
        if self._left < 0:
            await self._store.submit(jobs[: self._taken], **options)
            raise RuntimeError("a document's text stands here")
        return await self._store.submit(jobs, **options)

    async def job(self, job_id: str) -> Any:
        if self._silent:
            raise StoreUnavailable("Redis does not answer.")
        return await self._store.job(job_id)


class TestTheDoor:
    async def test_every_answer_carries_a_request_id(self, api: Api) -> None:
        """The caller's own if it is sane, else a new one."""
        kept = await api.http.get("/health/live", headers={"x-request-id": "abc-1"})
        made = await api.http.get("/nowhere", headers={"x-request-id": "a b\t<script>"})
        assert kept.headers["x-request-id"] == "abc-1"
        assert made.headers["x-request-id"].startswith("req_")

    @pytest.mark.parametrize(
        ("method", "path", "status"),
        [("GET", "/nowhere", 404), ("DELETE", "/v1/fleet", 405), ("POST", "/v1/jobs", 400), ("GET", "/v1/jobs", 405)],
    )
    async def test_every_error_has_one_form(self, api: Api, method: str, path: str, status: int) -> None:
        """Also those that the framework makes."""
        answer = await api.http.request(method, path)
        assert answer.status_code == status
        error(answer)

    async def test_an_unexpected_error_says_nothing_but_its_request(
        self, api: Api, caplog: pytest.LogCaptureFixture
    ) -> None:
        """500 without a trace; the log says where, and never quotes the error's text."""
        api.app.state.intake.store = Flaky(api.store, good_submits=0)
        answer = await api.analyze()
        assert answer.status_code == 500
        assert error(answer)["code"] == "internal"
        assert answer.headers["x-request-id"] in error(answer)["message"]
        assert "RuntimeError" in caplog.text
        assert "document's text" not in caplog.text + answer.text

    async def test_foreign_hosts_and_origins_are_refused(self, api: Api) -> None:
        """A page that points its own name at this computer, or posts across origins, gets nothing."""
        for host in ("evil.example", "evil.example:8400", "127.0.0.1.evil.example"):
            assert (await api.http.get("/v1/fleet", headers={"host": host})).status_code == 403
        for host in ("localhost:8400", "127.0.0.1", "[::1]:8400"):
            assert (await api.http.get("/v1/fleet", headers={"host": host})).status_code == 200
        for origin in ("http://evil.example", "null", "http://127.0.0.1:9999"):
            assert (await api.http.post("/v1/jobs", json=JOB, headers={"origin": origin})).status_code == 403
        broken = await api.http.post("/v1/jobs", json=JOB, headers={"origin": "http://["})
        assert (broken.status_code, error(broken)["code"]) == (403, "origin_refused")
        assert broken.headers["x-request-id"]
        same = await api.http.post("/v1/jobs", json=JOB, headers={"origin": "http://127.0.0.1:8400"})
        assert same.status_code == 202

    async def test_the_submitter_is_a_clean_label(self, api: Api) -> None:
        """Without one the client's address stands in."""
        named = await api.http.post("/v1/jobs", json=JOB, headers={"x-viiwork-submitter": "ann smith@box:*"})
        nameless = await api.http.post("/v1/jobs", json=JOB)
        assert named.json()["tenant"] == "ann_smith@box__"
        assert nameless.json()["tenant"] == "anonymous@127.0.0.1"

    @pytest.mark.parametrize("key", ["", "a b", "x" * 256, "ü"])
    async def test_an_unusable_idempotency_key_is_refused(self, api: Api, key: str) -> None:
        """It would not survive the way back."""
        answer = await api.http.post("/v1/jobs", json=JOB, headers={"idempotency-key": key.encode()})
        assert answer.status_code == 400
        assert error(answer)["param"] == "Idempotency-Key"
        other = await api.http.post("/v1/fleet/hold/lift", json={}, headers={"idempotency-key": key.encode()})
        assert error(other)["param"] == "Idempotency-Key"  # also where nobody looks at it

    async def test_a_wrong_method_is_told_the_right_ones(self, api: Api) -> None:
        answer = await api.http.put("/v1/analyses")
        assert (answer.status_code, answer.headers["allow"]) == (405, "GET, POST")

    async def test_the_schema_names_its_bodies(self, api: Api) -> None:
        """Every reference in /openapi.json leads somewhere."""
        document = (await api.http.get("/openapi.json")).json()
        names = document["components"]["schemas"]
        references = json.dumps(document).split('"#/components/schemas/')[1:]
        assert {reference.split('"')[0] for reference in references} <= set(names)
        assert "AnalysisBody" in names and "JobBody" in names


class TestTheFleet:
    async def test_the_fleet_names_workers_and_models(self, api: Api) -> None:
        """What `viiwork status` shows."""
        fleet = (await api.http.get("/v1/fleet")).json()
        assert fleet["models"] == [MODEL]
        assert [worker["card"]["name"] for worker in fleet["workers"]] == [f"cpu0@{MODEL}"]

    async def test_a_closing_fleet_takes_no_new_work(self, api: Api) -> None:
        """503 with Retry-After for new work; looking and cancelling go on."""
        taken = (await api.analyze()).json()
        await api.store.set_closing(True)
        api.app.state.intake._fleet._seen = None
        post: list[Callable[[], Any]] = [api.analyze, lambda: api.http.post("/v1/jobs", json=JOB)]
        for send in post:
            answer = await send()
            assert (answer.status_code, error(answer)["code"]) == (503, "closing")
            assert int(answer.headers["retry-after"]) > 0
        assert (await api.http.get("/health/ready")).status_code == 503
        assert (await api.http.get("/health/live")).status_code == 200
        assert (await api.http.get(f"/v1/analyses/{taken['id']}")).status_code == 200
        assert (await api.http.post(f"/v1/analyses/{taken['id']}/cancel")).status_code == 200

    @pytest.mark.parametrize(("fraction", "free", "status"), [(0.8, 2**60, 429), (0.95, 2**60, 507), (0.0, 1, 507)])
    async def test_readiness_needs_room(self, api: Api, fraction: float, free: int, status: int) -> None:
        """Whoever is told that the fleet takes work must not have that work refused at the door."""
        assert (await api.http.get("/health/ready")).status_code == 200
        gauge = api.app.state.intake.gauge
        gauge._room._seen = ((fraction, free), float("inf"))
        ready, refused = await api.http.get("/health/ready"), await api.http.post("/v1/jobs", json=JOB)
        assert (ready.status_code, error(ready)) == (refused.status_code, error(refused))
        assert ready.status_code == status

    async def test_readiness_needs_redis(self, tmp_path: Path) -> None:
        """503 with the reason while Redis does not answer."""
        settings, server = make_settings(tmp_path), fakeredis.FakeServer()
        store = make_store(settings, server)
        server.connected = False
        transport = httpx.ASGITransport(create_app(settings, store))
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as http:
            answer = await http.get("/health/ready")
        assert (answer.status_code, error(answer)["code"]) == (503, "store_unavailable")
        await store.close()


async def test_a_model_says_what_its_last_analyses_took(api: Api) -> None:
    """The next one can be reckoned by them; a name that no model can have is refused."""
    assert (await api.http.get("/v1/fleet/runs", params={"model": MODEL})).json() == {"runs": []}
    started = await api.analyze()
    await api.worker.work()
    (run,) = (await api.http.get("/v1/fleet/runs", params={"model": MODEL})).json()["runs"]
    assert (run["task"], run["calls"], run["slots"]) == ("summarize", 2, 4)
    assert started.json()["tenant"] not in json.dumps(run)
    assert (await api.http.get("/v1/fleet/runs", params={"model": "../x"})).status_code == 400
