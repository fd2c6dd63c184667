"""A file of jobs over HTTP: checked as it comes, taken once, refused as a whole."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from indoors import indoors
from standin import MODEL, StandIn
from viiwork.api.intake import Intake
from viiwork.api.lines import BadLine, Line, LineCutter, parse_line
from viiwork.api.pressure import Gauge, refusal
from viiwork.errors import Busy, Full, StoreUnavailable, TooLarge
from viiwork.jobs import BatchState
from viiwork.store import Store

FILE = {"content-type": "application/x-ndjson"}
CANCELLED = (BatchState.CANCELLING, BatchState.CANCELLED)
LIMITS = {"max_json_bytes": 2000, "max_upload_bytes": 400_000, "max_lines": 570}


def line(number: int, **fields: Any) -> bytes:
    body = {"custom_id": f"c{number}", "messages": [{"role": "user", "content": f"hello {number}"}]} | fields
    return json.dumps(body).encode()


def lines(count: int, *, first: int = 0) -> bytes:
    return b"".join(line(number) + b"\n" for number in range(first, first + count))


def digest(body: bytes) -> dict[str, str]:
    return {"content-digest": f"sha-256=:{base64.b64encode(hashlib.sha256(body).digest()).decode()}:"}


@dataclass
class Api:
    """The application, its store, a worker and a client that calls it in this very loop."""

    desk: Intake
    store: Store
    worker: StandIn
    http: httpx.AsyncClient

    async def send(self, body: Any, *, headers: dict[str, str] | None = None, **params: Any) -> httpx.Response:
        return await self.http.post("/v1/jobs", content=body, headers=FILE | (headers or {}), params=params)

    async def batches(self) -> list[str]:
        keys = [key async for key in self.store.client.scan_iter(match=f"{self.store.prefix}batch:an_*")]
        return [name for key in keys if ":" not in (name := key.removeprefix(f"{self.store.prefix}batch:"))]


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[Api]:
    async with indoors(tmp_path, api=LIMITS) as door:
        yield Api(door.app.state.intake, door.store, door.worker, door.http)


def error(response: httpx.Response) -> dict[str, Any]:
    assert set(response.json()) == {"error"}
    return dict(response.json()["error"])


class TestTaking:
    async def test_each_line_becomes_a_job_of_one_batch(self, api: Api) -> None:
        """Rows keep custom_id and metadata; the index is the line's place. Blank lines, CRLF and a BOM do no harm."""
        body = b"\xef\xbb\xbf" + line(1, metadata={"a": "b"}) + b"\r\n\r\n" + line(3, model=MODEL) + b"\n\n"
        taken = await api.send(body)
        assert (taken.status_code, taken.json()["state"]) == (202, "running"), taken.text
        assert (taken.json()["counts"]["total"], taken.json()["task"], taken.json()["lane"]) == (2, "jobs", "batch")
        assert taken.headers["x-viiwork-durability"] == "up to 1 s of acknowledged work may be lost in a power cut"
        await api.worker.work()
        answer = await api.http.get(taken.headers["location"] + "/results")
        rows = {row["index"]: row for row in map(json.loads, answer.text.splitlines())}
        assert {index: row["custom_id"] for index, row in rows.items()} == {0: "c1", 2: "c3"}
        assert rows[0]["metadata"] == {"a": "b"}
        assert "hello 1" in rows[0]["answer"]["text"]

    async def test_what_is_said_of_the_file_holds_for_all_its_jobs(self, api: Api) -> None:
        """Lane, priority and deadline; the model for lines that name none."""
        taken = await api.send(line(1), lane="interactive", priority="high", deadline_s=60, model=MODEL)
        status = await api.store.batch(taken.json()["id"])
        assert (status.lane, status.priority, status.model) == ("interactive", "high", MODEL)
        assert status.deadline_ms and status.deadline_ms - status.created_ms == 60_000

    async def test_a_file_that_comes_byte_by_byte_is_the_same_file(self, api: Api) -> None:
        """Where the network cuts it means nothing, and the last line needs no end."""
        body = lines(3).rstrip(b"\n")

        async def bytewise() -> AsyncIterator[bytes]:
            for at in range(len(body)):
                yield body[at : at + 1]

        taken = await api.send(bytewise(), headers=digest(body))
        assert (taken.status_code, taken.json()["counts"]["total"]) == (202, 3)

    async def test_a_job_s_own_deadline_and_no_other_field_of_a_file(self, api: Api) -> None:
        """`deadline_s` stands in the body of a single job; `lane` has no place in a line."""
        job = {"model": MODEL, "messages": [{"role": "user", "content": "x"}], "deadline_s": 30}
        taken = await api.http.post("/v1/jobs", json=job)
        assert taken.json()["deadline_ms"] - taken.json()["created_ms"] == 30_000
        refused = await api.send(line(1, lane="batch"))
        said = "there is no such field; it is the whole file's: `viiwork submit --lane`, or the query parameter lane"
        assert (refused.status_code, error(refused)["message"]) == (400, f"line 1: lane: {said}.")

    async def test_an_analysis_takes_a_deadline_and_a_priority(self, api: Api) -> None:
        """As JSON and as a form."""
        order = {"task": "summarize", "documents": [{"text": "one"}], "deadline_s": 60, "priority": "low"}
        fields: list[tuple[str, Any]] = [("task", (None, "summarize")), ("files", ("a.txt", b"one"))]
        form = [*fields, ("priority", (None, "low")), ("deadline_s", (None, "60"))]
        for taken in (
            await api.http.post("/v1/analyses", json=order),
            await api.http.post("/v1/analyses", files=form),
        ):
            status = await api.store.batch(taken.json()["id"])
            assert (status.priority, bool(status.deadline_ms)) == ("low", True)
        wrong = await api.http.post("/v1/analyses", files=[*fields, ("deadline_s", (None, "soon"))])
        assert (wrong.status_code, error(wrong)["param"]) == (400, "deadline_s")


class TestRefusing:
    @pytest.mark.parametrize(
        ("bad", "said"),
        [
            (line(0, temprature=1), "line 2: temprature: there is no such field"),
            (line(0, messages=[{"role": "user", "content": 3}]), "line 2: messages.0.content: "),
            (line(0, messages=[]), "line 2: messages: must have at least 1 entry."),
            (line(0, metadata={str(n): "" for n in range(17)}), "line 2: metadata: must have at most 16 entries."),
            (line(0, messages=[{"role": "user", "content": "x", "nmae": "n"}]), "line 2: messages.0.nmae: there is no"),
            (b'{"messages": [', "line 2: Invalid JSON: EOF while parsing a list at column 14"),
            (b"[1]", "line 2: "),
            (b'{"messages": "\xff"}', "line 2: Invalid JSON"),
            (line(0, model="gpt"), "line 2: model: nobody serves"),
            (line(0, custom_id="x" * 300), "line 2: custom_id: "),
        ],
    )
    async def test_a_bad_line_is_named_and_cancels_all(self, api: Api, bad: bytes, said: str) -> None:
        """Nothing of a small file was submitted yet; what was sent is not repeated."""
        answer = await api.send(line(1) + b"\n" + bad + b"\n" + line(3))
        assert answer.status_code in (400, 404)
        assert error(answer)["message"].startswith(said), answer.text
        assert error(answer)["param"].startswith("line.2")
        assert await api.batches() == []

    async def test_a_refused_file_leaves_nothing_to_run(self, api: Api) -> None:
        """Five hundred lines were taken before the bad one: they are cancelled, whoever asks for them."""
        for body, headers in ((lines(540) + b"{", {}), (lines(540), digest(b"other")), (lines(571), {})):
            answer = await api.send(body, headers=headers)
            assert answer.status_code in (400, 413), answer.text
            (batch,) = await api.batches()
            status = await api.store.batch(batch)
            assert status.state in CANCELLED
            await api.worker.work()  # the hints of what had been released already lead nowhere
            assert await api.store.sweep_cancelled(batch)
            status = await api.store.batch(batch)
            assert (status.state, status.counts.succeeded) == (BatchState.CANCELLED, 0)
            await api.store.client.flushall()
            await api.worker.join()

    @pytest.mark.parametrize(
        ("body", "said"),
        [
            (b"", "The file holds no jobs"),
            (b"\n \r\n", "The file holds no jobs"),
            (line(1, messages=[{"role": "user", "content": "x" * 3000}]), "line 1: over the limit of 2000 bytes"),
            ("\ufeff{}".encode("utf-16"), "line 1: this file is UTF-16"),
            ("{}".encode("utf-16-le"), "line 1: this file is UTF-16"),
            ("{}".encode("utf-16-be"), "line 1: this file is UTF-16"),
        ],
    )
    async def test_what_is_no_file_of_jobs_is_refused(self, api: Api, body: bytes, said: str) -> None:
        """With the reason."""
        answer = await api.send(body)
        assert error(answer)["message"].startswith(said), answer.text
        assert await api.batches() == []

    async def test_a_query_parameter_that_a_file_does_not_have_is_named(self, api: Api) -> None:
        """400 with the known ones: a misspelt deadline would be none. Nothing of the file is taken."""
        refused = await api.send(line(1), priorty="low", deadline=1)
        assert (refused.status_code, error(refused)["param"]) == (400, "priorty")
        assert error(refused)["message"] == (
            "priorty: there is no such query parameter of a file of jobs. "
            "Known are lane, model, deadline_s, priority, keep_s, callback_url."
        )
        for name in ("deadline", "wait"):
            assert error(await api.send(line(1), **{name: 1}))["param"] == name
        assert await api.batches() == []

    async def test_too_much_is_refused_before_it_is_read(self, api: Api) -> None:
        """The sender says how much is coming; so for one job, a file of jobs and an upload."""
        kinds = {
            "/v1/jobs": ["application/x-ndjson", "application/json"],
            "/v1/analyses": ["multipart/form-data; boundary=x", "application/json"],
        }
        for path, content_types in kinds.items():
            for kind in content_types:
                headers = {"content-type": kind, "content-length": "500000"}
                answer = await api.http.post(path, content=b"{", headers=headers)
                assert (answer.status_code, error(answer)["code"]) == (413, "too_large"), kind

    async def test_a_wrong_or_missing_digest_is_named(self, api: Api) -> None:
        """A key without a digest could not tell a retry from another file."""
        for headers in (
            {"content-digest": "sha-256=:abc:"},
            {"content-digest": "md5=:abc=:"},
            {"idempotency-key": "k"},
            digest(b"else"),
        ):
            answer = await api.send(line(1), headers=headers)
            assert (answer.status_code, error(answer)["param"]) == (400, "Content-Digest")


class TestAgain:
    async def test_the_same_key_gives_the_same_batch_and_another_file_is_409(self, api: Api) -> None:
        """However often it is sent."""
        body = lines(5)
        key = {"idempotency-key": "k"} | digest(body)
        answers = [await api.send(body, headers=key) for _ in range(3)]
        assert len({answer.json()["id"] for answer in answers}) == 1
        assert answers[-1].json()["counts"]["total"] == 5
        other = await api.send(lines(6), headers=key | digest(lines(6)))
        assert (other.status_code, error(other)["code"]) == (409, "idempotency_conflict")

    async def test_a_file_that_broke_off_goes_on_where_it_stopped(self, api: Api) -> None:
        """The jobs that had been taken are not taken again, and the same file is bad the second time too."""
        body = lines(560)
        key = {"idempotency-key": "k"} | digest(body)
        broken = await api.send(break_off(body, at=46_000), headers=key)
        assert broken.status_code == 503
        (batch,) = await api.batches()
        assert (await api.store.batch(batch)).state is BatchState.UPLOADING
        ran = await api.worker.work()
        assert 0 < ran < 560
        again = await api.send(body, headers=key)
        assert (again.json()["id"], again.json()["counts"]["total"]) == (batch, 560)
        assert ran + await api.worker.work() == 560
        assert (await api.store.batch(batch)).counts.succeeded == 560

    async def test_a_file_without_a_key_that_broke_off_is_cancelled(self, api: Api) -> None:
        """Nobody can come back for it."""
        await api.send(break_off(lines(560), at=46_000))
        (batch,) = await api.batches()
        assert (await api.store.batch(batch)).state in CANCELLED

    async def test_nothing_under_the_key_takes_the_file_back(self, api: Api) -> None:
        """How a sender that stops half-way leaves nothing behind."""
        body = lines(560)
        key = {"idempotency-key": "k"} | digest(body)
        await api.send(break_off(body, at=46_000), headers=key)
        assert (await api.send(b"", headers=key)).status_code == 400
        (batch,) = await api.batches()
        assert (await api.store.batch(batch)).state in CANCELLED
        assert (await api.send(body, headers=key)).json()["state"] in CANCELLED


class TestBackpressure:
    async def test_a_full_backlog_is_429_and_the_same_key_goes_on_later(self, api: Api) -> None:
        """What was taken stays; nothing is taken twice."""
        api.desk.settings = api.desk.settings.model_copy(
            update={"queue": api.desk.settings.queue.model_copy(update={"max_backlog": 520})}
        )
        body = lines(560)
        key = {"idempotency-key": "k"} | digest(body)
        busy = await api.send(body, headers=key)
        assert (busy.status_code, error(busy)["code"]) == (429, "busy"), busy.text
        assert int(busy.headers["retry-after"]) >= 1
        (batch,) = await api.batches()
        assert error(busy)["message"].endswith(f"What was taken of the file goes on as {batch}.")
        assert await api.worker.work() >= 500
        taken = await api.send(body, headers=key)
        assert (taken.status_code, taken.json()["counts"]["total"]) == (202, 560)

    async def test_no_work_is_taken_without_room_and_no_body_is_read(self, api: Api) -> None:
        """429 with Retry-After from 80 % of the memory, 507 from 95 % and on a disk that is nearly full."""
        for fraction, free, status, code in (
            (0.8, 2**60, 429, "busy"),
            (0.95, 2**60, 507, "insufficient_storage"),
            (0.0, 2**20, 507, "insufficient_storage"),
        ):
            gauge = api.desk.gauge
            gauge._room._seen = ((fraction, free), float("inf"))
            for path, kind in (
                ("/v1/jobs", "application/x-ndjson"),
                ("/v1/jobs", "application/json"),
                ("/v1/analyses", "application/json"),
            ):
                answer = await api.http.post(path, content=b"{", headers={"content-type": kind})
                assert (answer.status_code, error(answer)["code"]) == (status, code)
                assert int(answer.headers["retry-after"]) >= 1
        assert (await api.http.get("/v1/fleet")).status_code == 200

    async def test_a_file_stops_where_the_room_ends(self, api: Api) -> None:
        """Also in its middle: the memory fills up while it comes."""
        gauge = api.desk.gauge
        api.desk.gauge = Filling(looks=2)
        body = lines(560)
        answer = await api.send(body, headers={"idempotency-key": "k"} | digest(body))
        assert answer.status_code == 507
        (batch,) = await api.batches()
        assert (await api.store.batch(batch)).counts.total == 500
        api.desk.gauge = gauge
        again = await api.send(body, headers={"idempotency-key": "k"} | digest(body))
        assert again.json()["counts"]["total"] == 560


def test_the_watermarks() -> None:
    """Memory first at 95 %, then the disk, then memory at 80 %; what nobody can tell refuses nobody."""
    room = {"min_free_bytes": 100}
    assert refusal(used_fraction=0.7999, free_bytes=100, **room) is None
    assert isinstance(refusal(used_fraction=0.80, free_bytes=100, **room), Busy)
    assert isinstance(refusal(used_fraction=0.95, free_bytes=100, **room), Full)
    assert isinstance(refusal(used_fraction=0.80, free_bytes=99, **room), Full)
    assert isinstance(refusal(used_fraction=0.0, free_bytes=150, body_bytes=51, **room), Full)
    assert refusal(used_fraction=0.0, free_bytes=None, body_bytes=10**12, **room) is None


def test_lines_are_cut_the_same_wherever_the_chunks_end() -> None:
    """Two cuts anywhere; numbers count blank lines too."""
    body = b"\xef\xbb\xbf{}\r\n\n {} \n\n\n[]"
    for first in range(len(body)):
        for second in range(first, len(body)):
            cutter = LineCutter(max_line_bytes=10, max_lines=10)
            cut = [*cutter.feed(body[:first]), *cutter.feed(body[first:second]), *cutter.feed(body[second:])]
            cut += cutter.finish()
            assert [(found.number, found.raw.strip()) for found in cut] == [(1, b"{}"), (3, b"{}"), (6, b"[]")]


def test_a_line_that_never_ends_is_refused_before_it_fills_the_memory() -> None:
    """As soon as it is over the limit."""
    cutter = LineCutter(max_line_bytes=100, max_lines=10)
    assert [*cutter.feed(b"x" * 100)] == []
    with pytest.raises(TooLarge, match="line 1: over the limit of 100 bytes"):
        list(cutter.feed(b"x"))


def test_a_complaint_never_repeats_what_the_line_says() -> None:
    """It may be a document's text."""
    for raw in (b'{"messages": "secret words"}', b'{"secret words"', b'{"messages": [{"role": "secret words"}]}'):
        with pytest.raises(BadLine) as caught:
            parse_line(Line(7, raw))
        assert "secret words" not in str(caught.value)
        assert caught.value.number == 7


class Filling(Gauge):
    """The gauge of a server that is full after some looks."""

    def __init__(self, *, looks: int) -> None:
        self._looks = looks

    async def check(self, *, body_bytes: int = 0, fresh: bool = False) -> None:
        self._looks -= 1
        if self._looks < 0:
            raise Full("No room.")


async def break_off(body: bytes, *, at: int) -> AsyncIterator[bytes]:
    """A sender that is cut off."""
    yield body[:at]
    raise StoreUnavailable("cut off")
