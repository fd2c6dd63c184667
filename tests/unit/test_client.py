"""The Python client against the HTTP door, over real sockets."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest

from service import Service
from standin import MODEL
from tests.ports import free_port
from viiwork.client import AsyncClient, Client
from viiwork.connection import LineSplitter
from viiwork.errors import ModelNotServed, NotFound, TooLarge, Unavailable, UsageError
from viiwork.fleet.readiness import is_up
from viiwork.jobs import Row, State
from viiwork.multipart import FileDocument, TextDocument, multipart_body, quoted


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    with Service(tmp_path / "state", api={"max_document_bytes": 2_000_000, "max_upload_bytes": 8_000_000}) as running:
        yield running


@pytest.fixture
def client(service: Service) -> Iterator[Client]:
    with Client(service.url, submitter="ann@box") as made:
        yield made


def by_index(rows: Iterator[Row]) -> list[Row]:
    return sorted(rows, key=lambda row: row.index)


class TestAnalyses:
    def test_files_of_any_name_come_back_as_rows(self, client: Client, tmp_path: Path) -> None:
        """Quotes, line breaks, backslashes, umlauts and bytes that are no UTF-8 survive or become a mark."""
        names = [
            'say "hi".txt',
            "line\nbreak.txt",
            "back\\slash.txt",
            "C:\\dos.txt",
            "ümläut €.txt",
            "%22.txt",
            "🂡.txt",
        ]
        files = [tmp_path / name for name in names]
        raw = tmp_path / b"latin-\xe9.txt".decode("utf-8", "surrogateescape")
        for number, path in enumerate([*files, raw]):
            path.write_text(f"text {number}")
        status = client.wait_analysis(client.analyze([*files, str(raw)], task="summarize").id, timeout_s=60)
        assert (status.state, status.counts.succeeded, status.tenant) == ("completed", 8, "ann@box")
        rows = by_index(client.results(status.id))
        assert [row.document for row in rows[:7]] == [name.replace("\n", "") for name in names]
        assert rows[7].document == "latin-�.txt"
        assert [row.answer.text for row in rows if row.answer] == [f"It says: text {n}" for n in range(8)]

    def test_texts_need_no_files(self, client: Client) -> None:
        """custom_id and metadata come back."""
        text = TextDocument("hello", name="note", custom_id="c", metadata={"a": "b"})
        done = client.wait_analysis(client.analyze([text], task="ask", question="Who?").id, timeout_s=60)
        (row,) = client.results(done.id)
        assert (row.document, row.custom_id, row.metadata) == ("note", "c", {"a": "b"})

    def test_an_analysis_has_metadata_and_hours_of_its_own(
        self, client: Client, service: Service, tmp_path: Path
    ) -> None:
        """However its documents are sent, and from both clients; no hours at all are refused, not passed over."""
        file = tmp_path / "a.txt"
        file.write_text("hello")
        wishes: dict[str, Any] = {"task": "summarize", "metadata": {"study": "water"}, "retention_hours": 2}

        async def asked() -> str:
            async with AsyncClient(service.url, submitter="ann@box") as other:
                return (await other.analyze([file], **wishes)).id

        sent = [client.analyze([TextDocument("hello")], **wishes).id, asyncio.run(asked())]
        for done in [client.wait_analysis(one, timeout_s=60) for one in sent]:
            assert done.metadata == {"study": "water"}
            assert (done.expires_ms or 0) - (done.finished_ms or 0) == 2 * 3_600_000
        assert {found.id for found in client.analyses(metadata={"study": "water"})} == set(sent)
        with pytest.raises(UsageError, match="retention_hours"):
            client.analyze([file], task="summarize", retention_hours=0)

    def test_the_upload_tells_how_far_it_is(self, client: Client, tmp_path: Path) -> None:
        """Bytes only grow and end at the whole."""
        file = tmp_path / "a.bin"
        file.write_bytes(b"x" * 300_000)
        told: list[tuple[int, int]] = []
        client.analyze([file, FileDocument(file, name="b")], task="summarize", on_upload=lambda *at: told.append(at))
        assert told == sorted(told)
        assert told[-1] == (600_000, 600_000)

    def test_nothing_and_two_kinds_are_refused_before_anything_is_sent(self, client: Client, tmp_path: Path) -> None:
        """As is a file that is not there."""
        for documents in ([], [tmp_path / "x", TextDocument("y")], [tmp_path / "missing.txt"]):
            with pytest.raises(UsageError):
                client.analyze(documents, task="summarize")

    def test_a_refusal_in_the_middle_of_an_upload_reaches_the_sender(
        self, client: Client, service: Service, tmp_path: Path
    ) -> None:
        """The service takes the rest in so that its reason is read, and keeps nothing."""
        big = tmp_path / "big.bin"
        big.write_bytes(b"x" * 7_000_000)
        with pytest.raises(TooLarge, match="VIIWORK_API_MAX_DOCUMENT_BYTES"):
            client.analyze([big], task="summarize")
        assert service.blob_files() == []

    def test_a_result_line_may_hold_any_character(self, client: Client) -> None:
        """Line separators of Unicode do not cut a row."""
        text = "a\u2028b\u2029c\x85d\x0be"
        done = client.wait_analysis(client.analyze([TextDocument(text)], task="summarize").id, timeout_s=60)
        (row,) = client.results(done.id)
        assert row.answer and row.answer.text == f"It says: {text}"
        (line,) = client.result_lines(done.id)
        assert json.loads(line)["analysis"] == done.id

    def test_results_page_and_cancel(self, client: Client) -> None:
        """`after` and `limit`; cancelling what is done changes nothing."""
        texts = [TextDocument(str(n)) for n in range(7)]
        done = client.wait_analysis(client.analyze(texts, task="summarize").id, timeout_s=60)
        assert len(list(client.results(done.id, after=2, limit=3))) == 3
        assert client.cancel_analysis(done.id).counts.succeeded == 7

    def test_a_lost_answer_is_asked_for_again_without_doubling(self, service: Service, tmp_path: Path) -> None:
        """The connection breaks after the service has taken the upload: the retry gets the same analysis."""
        file = tmp_path / "a.txt"
        file.write_text("hello")
        with Snatcher(service.url) as snatcher, Client(snatcher.url) as client:
            status = client.analyze([file], task="summarize")
            assert snatcher.snatched == 1
            assert client.wait_analysis(status.id, timeout_s=60).counts.total == 1
        assert len(service.blob_files()) == 1


class TestJobs:
    def test_a_job_is_submitted_and_waited_for(self, client: Client) -> None:
        """One request and its answer."""
        job = client.submit_job([{"role": "user", "content": "hello"}], model=MODEL, custom_id="mine")
        done = client.wait_job(job.id, timeout_s=60)
        assert (done.state, done.custom_id) == (State.SUCCEEDED, "mine")
        assert client.cancel_job(job.id).state is State.SUCCEEDED

    def test_errors_come_back_as_the_classes_they_were(self, client: Client) -> None:
        """With the message that the service gave."""
        with pytest.raises(ModelNotServed, match=MODEL):
            client.submit_job([{"role": "user", "content": "hello"}], model="gpt")
        with pytest.raises(NotFound):
            client.job("job_00000000000000000000000000")
        with pytest.raises(NotFound):
            client.job("../fleet")
        with pytest.raises(UsageError) as caught:
            client.submit_job([], model=MODEL)
        assert caught.value.param == "messages"


class TestTheConnection:
    def test_no_service_is_one_clear_error(self) -> None:
        """It names the address and what to do."""
        url = f"http://127.0.0.1:{free_port()}"
        with Client(url, retries=1) as client, pytest.raises(Unavailable, match="viiwork up") as caught:
            client.fleet()
        assert url in str(caught.value)
        assert caught.value.exit_code == 3

    def test_something_else_that_answers_is_not_taken_for_the_service(self) -> None:
        """Neither its errors nor its pages."""
        with Stranger() as stranger, Client(stranger.url, retries=0) as client:
            for ask in (client.fleet, lambda: client.job("job_1"), lambda: list(client.results("an_1"))):
                with pytest.raises(Unavailable, match="not a VIIWork service"):
                    ask()

    def test_a_service_without_room_is_up(self, tmp_path: Path) -> None:
        """It takes nothing, but a fleet with a full disk must come up, or nobody could make room in it."""
        with Service(tmp_path, api={"min_free_bytes": 2**60}) as full:
            ready = httpx.get(full.url + "/health/ready", trust_env=False)
            assert ready.status_code == httpx.codes.INSUFFICIENT_STORAGE
            wait_until(lambda: asyncio.run(is_up(full.url + "/health/ready")))  # it is asked for two seconds at a time
        with Stranger() as stranger:
            assert not asyncio.run(is_up(stranger.url + "/health/ready"))
        assert not asyncio.run(is_up(f"http://127.0.0.1:{free_port()}"))

    def test_a_service_that_comes_late_is_found(self, tmp_path: Path) -> None:
        """Refused connections are tried again."""
        port = free_port()
        late = Service(tmp_path, port=port)
        starter = threading.Timer(0.3, late.__enter__)
        starter.start()
        try:
            with Client(f"http://127.0.0.1:{port}") as client:
                assert client.fleet().models == (MODEL,)
        finally:
            starter.join()
            late.stop()

    @pytest.mark.parametrize("url", ["127.0.0.1:8400", "ftp://x", "http://", "http://[", "", "http://x:port"])
    def test_what_is_no_url_is_refused(self, url: str) -> None:
        """In one line, before anything is sent."""
        with pytest.raises(UsageError):
            Client(url)

    def test_an_upload_that_is_cut_leaves_no_blob(self, service: Service) -> None:
        """The sender dies in the middle of the second file."""
        body = b"".join(multipart_body({"task": "summarize"}, [], boundary="b"))[: -len("--b--\r\n")]
        part = b'--b\r\nContent-Disposition: form-data; name="files"; filename="a"\r\n\r\n' + b"x" * 1000
        host, port = service.url.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port))) as raw:
            head = f"POST /v1/analyses HTTP/1.1\r\nHost: {host}\r\nContent-Length: 100000\r\n"
            raw.sendall(f"{head}Content-Type: multipart/form-data; boundary=b\r\n\r\n".encode())
            raw.sendall(body + part + b"\r\n" + part)
            wait_until(lambda: len(service.blob_files()) == 2)
        wait_until(lambda: service.blob_files() == [])


def wait_until(true: object) -> None:
    assert callable(true)
    until_s = time.monotonic() + 60
    while not true():
        assert time.monotonic() < until_s, "it did not come true in a minute"
        time.sleep(0.01)


class Stranger:
    """A web server that is not VIIWork."""

    def __enter__(self) -> Stranger:
        class Page(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                found = self.path == "/v1/fleet"
                self.send_response(200 if found else 404)
                self.end_headers()
                self.wfile.write(b"<html>hello</html>")

            def log_message(self, *_: object) -> None:
                return

        self._server = HTTPServer(("127.0.0.1", 0), Page)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


class Snatcher:
    """A proxy that passes the first request on and then cuts the line instead of answering."""

    def __init__(self, url: str) -> None:
        host, port = url.removeprefix("http://").split(":")
        self._target = (host, int(port))
        self.snatched = 0

    def __enter__(self) -> Snatcher:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(10)

    def _serve(self) -> None:
        while True:
            try:
                near, _address = self._listener.accept()
            except OSError:
                return
            with near, socket.create_connection(self._target) as far:
                if self.snatched == 0:
                    self._snatch(near, far)
                else:
                    self._relay(near, far)

    def _snatch(self, near: socket.socket, far: socket.socket) -> None:
        asked = b""
        while not asked.endswith(b"0\r\n\r\n"):  # the last chunk
            asked += near.recv(65536)
        far.sendall(asked)
        far.recv(65536)  # the answer, which the asker never sees
        self.snatched += 1

    def _relay(self, near: socket.socket, far: socket.socket) -> None:
        upstream = threading.Thread(target=pump, args=(near, far))
        upstream.start()
        pump(far, near)
        upstream.join()


def pump(source: socket.socket, sink: socket.socket) -> None:
    try:
        while data := source.recv(65536):
            sink.sendall(data)
        sink.shutdown(socket.SHUT_WR)
    except OSError:
        return


class TestThePieces:
    @pytest.mark.parametrize("size", [1, 2, 3, 7, 100])
    def test_lines_are_parted_by_line_feeds_alone(self, size: int) -> None:
        """However the bytes are cut."""
        raw = "a\u2028b\n\r\x0b\nlast".encode()
        chunks = [raw[at : at + size] for at in range(0, len(raw), size)]
        splitter = LineSplitter()
        lines = [line for chunk in chunks for line in splitter.feed(chunk)]
        assert [*lines, *splitter.end()] == ["a\u2028b".encode(), b"\r\x0b", b"last"]

    def test_names_are_quoted_as_browsers_do(self) -> None:
        """The three characters that would end the parameter or the header."""
        assert quoted('a"b\r\nc') == "a%22b%0D%0Ac"

    def test_a_body_opens_one_file_at_a_time(self, tmp_path: Path) -> None:
        """A file that vanishes is named; those before it are sent."""
        here = tmp_path / "here"
        here.write_bytes(b"x" * 70_000)
        files = [FileDocument(here), FileDocument(tmp_path / "gone")]
        with pytest.raises(UsageError, match="gone: no such file or directory"):
            list(multipart_body({}, files, boundary="b"))
