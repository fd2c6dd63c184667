"""Holds on analyses, from programs that wait and from programs with an event loop, over real sockets."""

from __future__ import annotations

import asyncio
import inspect
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import fakeredis
import pytest

from service import Service
from tests.ports import free_port
from viiwork import Analysis, AsyncAnalysis, AsyncClient, Client, FileDocument, TextDocument
from viiwork.errors import NotFound, Unavailable, UsageError
from viiwork.jobs import BatchState, BatchStatus, State

TEXTS = [TextDocument(str(number), name=f"n{number}") for number in range(5)]


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    with Service(tmp_path / "state") as running:
        yield running


@pytest.fixture
def idle(tmp_path: Path) -> Iterator[Service]:
    """A service whose worker works only when it is told to."""
    with Service(tmp_path / "state", idle=True) as running:
        yield running


class TestAHold:
    def test_rows_come_up_to_the_last(self, service: Service) -> None:
        """Each once, and then it has ended."""
        with Client(service.url) as client:
            analysis = client.analyze(TEXTS, task="summarize")
            assert isinstance(analysis, Analysis)
            rows = list(analysis)
            assert sorted(row.document for row in rows) == [f"n{number}" for number in range(5)]
            assert (analysis.finished, analysis.progress, analysis.counts.succeeded) == (True, 1.0, 5)
            assert [row.index for row in analysis.rows(after=3)] == [row.index for row in rows[3:]]

    def test_a_row_is_there_before_the_last_document_has_begun(self, idle: Service) -> None:
        """One document is done, and its row comes."""
        with Client(idle.url) as client:
            analysis = client.analyze(TEXTS, task="summarize")
            rows = iter(analysis)
            while not list(analysis.results()):
                idle.run(idle.worker.work(limit=1))
            assert next(rows).state is State.SUCCEEDED
            assert 0 < analysis.progress < 1
            assert repr(analysis).startswith(f"<Analysis {analysis.id}: running, ")
            idle.run(idle.worker.work())
            assert len(list(rows)) == 4

    def test_it_is_taken_up_again_by_its_id(self, idle: Service) -> None:
        """By another client; held back, and cancelled."""
        with Client(idle.url) as client, Client(idle.url) as another:
            analysis = another.analysis(client.analyze(TEXTS, task="summarize", priority="low").id)
            assert (analysis.status.priority, analysis.state, analysis.progress) == ("low", BatchState.RUNNING, 0.0)
            assert analysis.prioritise("high").priority == "high"
            assert analysis.pause().paused and analysis.status.paused
            assert not analysis.resume().paused
            assert not analysis.wait(timeout_s=0.01).finished
            analysis.cancel()
            assert analysis.wait(timeout_s=60).state is BatchState.CANCELLED
            assert {row.state for row in analysis} == {State.CANCELLED}

    def test_waiting_tells_how_far_it_is(self, service: Service, capsys: pytest.CaptureFixture[str]) -> None:
        """To a function, and to people; nothing is said unasked."""
        heard: list[BatchStatus] = []
        with Client(service.url) as client:
            assert client.analyze(TEXTS, task="summarize").wait(on_progress=heard.append).finished
            assert heard[-1].counts.settled == 5
            assert capsys.readouterr() == ("", "")
            client.analyze(TEXTS, task="summarize").wait(show=True)
            assert capsys.readouterr().err.endswith("5 of 5 done\n")

    def test_a_service_that_is_restarted_meanwhile_is_waited_for(self, tmp_path: Path) -> None:
        """However many tries are made of each request."""
        redis = fakeredis.FakeServer()
        port = free_port()
        with Service(tmp_path, idle=True, port=port, redis=redis) as first:
            client = Client(first.url, retries=0)
            analysis = client.analyze(TEXTS, task="summarize")
            looked, ended = threading.Event(), []
            waiting = threading.Thread(target=lambda: ended.append(analysis.wait(on_progress=lambda _: looked.set())))
            waiting.start()
            assert looked.wait(60)
        with client, Service(tmp_path, port=port, redis=redis):
            waiting.join(60)
        assert [status.state for status in ended] == [BatchState.COMPLETED]

    def test_a_service_that_never_answered_is_not_waited_for(self) -> None:
        """A wrong address is found at once."""
        with Client("http://127.0.0.1:1", retries=0) as client, pytest.raises(Unavailable):
            client.wait_analysis("an_1")

    def test_what_is_no_analysis_is_not_found(self, service: Service) -> None:
        with Client(service.url) as client:
            for unknown in ("an_00000000000000000000000000", "../fleet"):
                with pytest.raises(NotFound):
                    client.analysis(unknown)


class TestAnEventLoop:
    async def test_everything_is_awaited(self, service: Service) -> None:
        """The same methods, the same answers."""
        async with AsyncClient(service.url) as client:
            analysis = await client.analyze(TEXTS, task="summarize")
            assert isinstance(analysis, AsyncAnalysis)
            assert len([row async for row in analysis]) == 5
            assert (await analysis.wait()).finished
            assert len([row async for row in analysis.results(limit=2)]) == 2
            assert (await (await client.analysis(analysis.id)).refresh()).counts.succeeded == 5
            assert (await client.fleet()).models

    async def test_analyses_run_side_by_side_and_files_are_sent(self, service: Service, tmp_path: Path) -> None:
        """Also larger ones, which are read on a thread."""
        (tmp_path / "docs").mkdir()
        for name in "abc":
            (tmp_path / "docs" / name).write_text(name * 100_000)
        sent: list[int] = []

        async def rows(client: AsyncClient) -> list[str]:
            started = await client.analyze(
                tmp_path / "docs", task="summarize", on_upload=lambda had, _all: sent.append(had)
            )
            return sorted([row.document async for row in started])

        async with AsyncClient(service.url) as client:
            assert await asyncio.gather(*(rows(client) for _ in range(3))) == [["a", "b", "c"]] * 3
        assert max(sent) == 300_000

    async def test_who_stops_waiting_leaves_nothing_open(self, idle: Service) -> None:
        """A cancelled task, and an iterator that nobody reads on."""
        async with AsyncClient(idle.url) as client:
            analysis = await client.analyze(TEXTS, task="summarize")
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.2):
                    await analysis.wait()
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.2):
                    async for _ in analysis:
                        pass
            assert (await analysis.cancel()).id == analysis.id


class TestWhatIsSent:
    def test_folders_are_unfolded(self, service: Service, tmp_path: Path) -> None:
        """A single path is no list of letters; names that were given stay, others are told apart."""
        for name in ("one/a.txt", "two/a.txt", ".hidden/a.txt"):
            path = tmp_path / "docs" / name
            path.parent.mkdir(parents=True)
            path.write_text(name)
        own = FileDocument(tmp_path / "docs/one/a.txt", name="mine")
        with Client(service.url) as client:
            for given, names in (
                (str(tmp_path / "docs"), ["one/a.txt", "two/a.txt"]),
                ([tmp_path / "docs/two", own, tmp_path / "docs/one"], ["two/a.txt", "mine", "one/a.txt"]),
            ):
                rows = sorted(client.analyze(given, task="summarize"), key=lambda r: r.index)
                assert [row.document for row in rows] == names

    def test_links_that_were_left_out_are_told(self, service: Service, tmp_path: Path) -> None:
        """To whoever hears remarks."""
        (tmp_path / "a.txt").write_text("a")
        (tmp_path / "b.txt").symlink_to("/etc/hostname")
        said: list[str] = []
        with Client(service.url, on_remark=said.append) as client:
            assert [row.document for row in client.analyze(tmp_path, task="summarize")] == ["a.txt"]
        assert sum("skipped 1 symbolic link" in text for text in said) == 1

    @pytest.mark.parametrize("documents", [[], [b"bytes"], [7], ["/no/such/file"]])
    def test_what_is_no_document_is_refused_before_anything_is_sent(self, documents: list[object]) -> None:
        """There is no service."""
        with Client("http://127.0.0.1:1", retries=0) as client, pytest.raises(UsageError):
            client.analyze(documents, task="summarize")  # type: ignore[arg-type] # what a checker would have found

    def test_jobs_are_sent_as_they_are_or_from_a_file(self, service: Service, tmp_path: Path) -> None:
        """Both are one batch."""
        jobs = [{"messages": [{"role": "user", "content": word}], "custom_id": word} for word in ("a", "b")]
        file = tmp_path / "jobs.jsonl"
        file.write_text("".join(f"{json.dumps(job)}\n" for job in jobs))
        with Client(service.url) as client:
            for given in (iter(jobs), file, str(file)):
                rows = list(client.submit(given))
                assert sorted(row.custom_id for row in rows) == ["a", "b"]

    @pytest.mark.parametrize(
        ("jobs", "said"),
        [
            ([], "nothing to submit"),
            ([{"prompt": "x"}, "y"], "number 1 is no object"),
            ([{"prompt": {1}}], "number 0 cannot be sent as JSON"),
            ([{"prompt": "x", "temperature": float("nan")}], "number 0 cannot be sent as JSON"),
        ],
    )
    def test_what_is_no_job_is_named_by_its_number(self, jobs: list[object], said: str) -> None:
        """Before anything is sent."""
        with Client("http://127.0.0.1:1", retries=0) as client, pytest.raises(UsageError, match=said):
            client.submit(jobs)  # type: ignore[arg-type] # what a checker would have found


class Moody:
    """A service that is away at first: it answers 503 until it was asked `times` times."""

    def __init__(self, times: int) -> None:
        self.keys: list[str | None] = []
        moody = self

        class Page(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                self.rfile.read(int(self.headers["content-length"]))
                moody.keys.append(self.headers["idempotency-key"])
                away = len(moody.keys) <= times
                status = {"id": "an_1", "state": "running", "tenant": "a@b", "lane": "batch", "model": "m"}
                status |= {"task": "ask", "counts": {}, "created_ms": 1}
                error = {"error": {"message": "Redis is away.", "type": "server_error", "code": "store_unavailable"}}
                said = json.dumps(error if away else status).encode()
                self.send_response(503 if away else 202)
                self.send_header("retry-after", "1")
                self.send_header("content-length", str(len(said)))
                self.end_headers()
                self.wfile.write(said)

            def log_message(self, *_: object) -> None:
                return

        self._server = HTTPServer(("127.0.0.1", 0), Page)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Moody:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


class TestPatience:
    def test_a_service_that_is_away_is_asked_again_under_the_same_key(self) -> None:
        """When it says; and why it takes long is told."""
        said: list[str] = []
        with Moody(1) as moody, Client(moody.url, on_remark=said.append) as client:
            assert client.analyze(TEXTS, task="summarize", idempotency_key="mine").id == "an_1"
        assert moody.keys == ["mine", "mine"]
        assert said[0] == "Redis is away. Trying again in 1 s."

    async def test_whoever_has_no_patience_hears_at_once(self) -> None:
        """With the code that it was given."""
        with Moody(1) as moody:
            async with AsyncClient(moody.url, away_patience_s=0) as client:
                with pytest.raises(Unavailable, match="Redis is away") as caught:
                    await client.analyze(TEXTS, task="summarize")
        assert (caught.value.code, caught.value.retryable, len(moody.keys)) == ("store_unavailable", True, 1)


class TestTheAddress:
    def test_it_is_the_environment_s_unless_one_is_given(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Read when a client is made."""
        monkeypatch.setenv("VIIWORK_URL", "http://127.0.0.1:9")
        assert [Client().url, Client("http://127.0.0.1:8").url] == ["http://127.0.0.1:9", "http://127.0.0.1:8"]
        monkeypatch.delenv("VIIWORK_URL")
        assert Client().url == "http://127.0.0.1:8400"

    def test_its_methods_tell_their_arguments(self) -> None:
        """To `help()`, on classes and on clients."""
        for method in (Client.analyze, AsyncClient.analyze, Client().analyze):
            assert {"documents", "task", "labels"} <= set(inspect.signature(method).parameters)
            assert "Send documents" in (inspect.getdoc(method) or "")
