"""`viiwork submit`: a file of jobs is checked here, sent once, and followed like any batch."""

from __future__ import annotations

import io
import json
import os
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from commands import Cli
from service import Service
from standin import MODEL, NOTICE
from viiwork.cli.checkedfile import MAX_LINE_BYTES, Faults, check
from viiwork.cli.urgency import seconds_of
from viiwork.client import Client, blocking, exchange
from viiwork.errors import Busy, Full, UsageError
from viiwork.jobfile import JobFile
from viiwork.jobs import BatchState

NOT_JSON_LINES = "jobs.jsonl: this is not JSON Lines: one JSON object a line."


def line(number: int, **fields: Any) -> str:
    body = {"custom_id": f"c{number}", "messages": [{"role": "user", "content": f"hello {number}"}]} | fields
    return json.dumps(body)


def write(path: Path, *lines: str) -> Path:
    path.write_text("".join(f"{text}\n" for text in lines))
    return path


class TestSubmit:
    def test_a_file_becomes_a_batch_that_all_commands_know(self, service: Service, cli: Cli, tmp_path: Path) -> None:
        """The id on standard output; `watch`, `results` and `status` take it; rows keep custom_id."""
        file = write(tmp_path / "jobs.jsonl", *(line(number) for number in range(3)))
        code, out, err = cli("submit", file, "--deadline", "1h", "--priority", "high")
        assert code == 0, err
        assert "3 jobs sent. Follow with: viiwork watch an_" in err
        assert "may be lost in a power cut" in err
        batch = out.strip()
        assert cli("watch", batch)[0] == 0
        code, out, _ = cli("results", batch, "--json")
        assert sorted(json.loads(row)["custom_id"] for row in out.splitlines()) == ["c0", "c1", "c2"]
        status = json.loads(cli("status", batch, "--json")[1])
        assert (status["task"], status["priority"], status["state"]) == ("jobs", "high", "completed")
        assert status["deadline_ms"] - status["created_ms"] == 3_600_000

    def test_it_can_be_followed_to_its_end(self, service: Service, cli: Cli, tmp_path: Path) -> None:
        """With a table of answers that names each by its custom_id, or rows in a file."""
        file = write(tmp_path / "jobs.jsonl", line(1, model=MODEL), line(2, custom_id=""))
        code, out, err = cli("submit", file, "--wait")
        assert (code, out.count(NOTICE)) == (0, 1), err
        assert "c1" in out
        assert "line 2" in out
        code, _, err = cli("submit", file, "--watch", "--out", tmp_path / "rows.jsonl")
        assert (code, len((tmp_path / "rows.jsonl").read_text().splitlines())) == (0, 2), err

    def test_standard_input_and_pipes_are_read_once(
        self, service: Service, cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """`-` and a named pipe."""
        content = f"{line(1)}\n{line(2)}\n".encode()
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))
        code, out, err = cli("submit", "-", "--json")
        assert (code, json.loads(out)["counts"]["total"]) == (0, 2), err
        pipe = tmp_path / "pipe"
        os.mkfifo(pipe)
        writer = threading.Thread(target=pipe.write_bytes, args=(content,))
        writer.start()
        code, out, err = cli("submit", pipe, "--json")
        writer.join()
        assert (code, json.loads(out)["counts"]["total"]) == (0, 2), err

    def test_a_key_makes_a_second_submit_the_first(self, service: Service, cli: Cli, tmp_path: Path) -> None:
        """For a file that broke off."""
        file = write(tmp_path / "jobs.jsonl", line(1))
        ids = {cli("submit", file, "--key", "mine")[1] for _ in range(2)}
        assert len(ids) == 1


class TestChecking:
    def test_every_wrong_line_is_named_and_nothing_is_sent(self, service: Service, cli: Cli, tmp_path: Path) -> None:
        """`file:line: field: reason`, exit code 2."""
        file = write(tmp_path / "jobs.jsonl", line(1), line(2, temprature=1), "{", line(1), line(5, lane="batch"))
        code, out, err = cli("submit", file)
        assert (code, out) == (2, "")
        assert err.splitlines() == [
            f"{file}:2: temprature: there is no such field; perhaps temperature is meant",
            f"{file}:3: Invalid JSON: EOF while parsing an object at column 1",
            f"{file}:5: lane: there is no such field; it is the whole file's: `viiwork submit --lane`, or the query "
            "parameter lane",
            f"{file}:4: custom_id: the same stands in line 1",
            f"viiwork: {file}: nothing was sent; 4 lines are not as they must be.",
        ]
        assert [key for key in service.run(keys(service)) if "an_" in key] == []

    def test_at_most_ten_are_named(self, cli: Cli, tmp_path: Path) -> None:
        """Nobody reads a million; no service is needed for it."""
        file = write(tmp_path / "jobs.jsonl", *["{}"] * 5000)
        code, _, err = cli("submit", file)
        assert (code, len(err.splitlines())) == (2, 11)
        assert "5,000 lines are not as they must be" in err

    @pytest.mark.parametrize(
        ("content", "said"),
        [
            (b"", "there is no job in it. Write one JSON object a line."),
            (b"\n\r\n", "there is no job in it"),
            ("\ufeff{}\n{}\n{}\n".encode("utf-16"), "jobs.jsonl: this file is UTF-16; save it as UTF-8."),
            ("{}\n{}\n{}\n".encode("utf-16-le"), "jobs.jsonl: this file is UTF-16; save it as UTF-8."),
            ("{}\n{}\n{}\n".encode("utf-16-be"), "jobs.jsonl: this file is UTF-16; save it as UTF-8."),
            (b"%PDF-1.4\n\x00\xff", NOT_JSON_LINES),
            (b"PK\x03\x04\n\x00\xff\n" * 20, NOT_JSON_LINES),
            (json.dumps([{"messages": [{"role": "user", "content": "x"}]}] * 9, indent=2).encode(), NOT_JSON_LINES),
            (b"[\n\n]", NOT_JSON_LINES),
        ],
    )
    def test_what_is_no_file_of_jobs_is_refused(self, cli: Cli, tmp_path: Path, content: bytes, said: str) -> None:
        """With the reason in one line, whatever a parser could say of each of its own, and exit code 2."""
        file = tmp_path / "jobs.jsonl"
        file.write_bytes(content)
        code, _, err = cli("submit", file)
        assert (code, said in err, len(err.splitlines())) == (2, True, 1), err

    @pytest.mark.parametrize("content", [b"{\n", b"[\n{}\n", b"\n".join([b"{"] * 2 + [b"{}"] * 9)])
    def test_lines_that_are_broken_in_a_file_of_jobs_are_named(self, cli: Cli, tmp_path: Path, content: bytes) -> None:
        """Also the first and the only one."""
        file = tmp_path / "jobs.jsonl"
        file.write_bytes(content)
        code, _, err = cli("submit", file)
        assert (code, f"{file}:1: Invalid JSON" in err) == (2, True), err

    def test_paths_and_options_that_cannot_be_are_named(self, cli: Cli, tmp_path: Path) -> None:
        """Before anything is read or sent."""
        file = write(tmp_path / "jobs.jsonl", line(1))
        for arguments, said in (
            ((tmp_path / "no.jsonl",), "no such file or directory"),
            ((tmp_path,), "is a directory"),
            ((file, "--lane", "fast"), "--lane fast: there is no such lane"),
            ((file, "--deadline", "soon"), "--deadline soon: is no span of time"),
            ((file, "--priority", "urgent"), "there is no such priority"),
            ((file, "--out", tmp_path / "rows"), "--out: with --no-wait"),
        ):
            code, _, err = cli("submit", *arguments)
            assert (code, said in err) == (2, True), err

    def test_endings_and_marks_of_other_systems_do_no_harm(self, tmp_path: Path) -> None:
        """A byte order mark, CRLF, blank lines, no end after the last line."""
        file = tmp_path / "jobs.jsonl"
        file.write_bytes(f"\ufeff{line(1)}\r\n\r\n{line(2)}\r\n\r\n\r\n{line(3)}".encode())
        faults = Faults()
        assert (check(file, "x", faults).lines, faults.count) == (6, 0)

    def test_the_check_needs_no_service_and_little_memory(self, tmp_path: Path) -> None:
        """A file without line ends is given up at the largest line there may be."""
        file = tmp_path / "zeros"
        with file.open("wb") as made:
            made.truncate(4 * MAX_LINE_BYTES)
        with pytest.raises(UsageError, match="line 1: over the limit of 64 MiB"):
            check(file, "zeros", Faults())


class TestSending:
    def test_a_file_that_changes_while_it_is_sent_is_refused_whole(self, service: Service, tmp_path: Path) -> None:
        """What was checked is what must come; one that only grows is sent as it was."""
        file = write(tmp_path / "jobs.jsonl", line(1), line(2))
        jobs = JobFile.of(file)
        with file.open("a") as more:
            more.write(line(3))
        with Client(service.url) as client:
            assert client.submit_file(jobs).counts.total == 2
            write(file, line(1), line(9))
            with pytest.raises(UsageError, match="Content-Digest"):
                client.submit_file(jobs)
            write(file, line(1))
            with pytest.raises(UsageError, match="became shorter"):
                client.submit_file(jobs)

    def test_ctrl_c_takes_back_what_was_sent(self, tmp_path: Path) -> None:
        """The service hears of it, so that nothing of half a file runs."""
        file = write(tmp_path / "jobs.jsonl", *(line(number, metadata={"x": "y" * 500}) for number in range(3000)))

        def batches() -> list[str]:
            return [key for key in service.run(keys(service)) if "batch:an_" in key and key.count(":") == 3]

        def interrupt(sent_bytes: int, total_bytes: int) -> None:
            if sent_bytes < total_bytes // 2:
                return
            while not batches():  # the rest is not sent before the first slice has been taken
                time.sleep(0.01)
            raise KeyboardInterrupt

        with Service(tmp_path / "idle", idle=True) as service, Client(service.url) as client:
            with pytest.raises(KeyboardInterrupt):
                client.submit_file(file, on_upload=interrupt)
            (batch,) = batches()
            status = client.analysis(batch.rpartition(":")[2])
            assert status.state in (BatchState.CANCELLING, BatchState.CANCELLED)
            assert status.counts.total > 0

    def test_a_busy_service_is_asked_again_and_says_why(self, tmp_path: Path) -> None:
        """429 with Retry-After is waited for while patience lasts, 507 is not; either is exit code 3."""
        file = write(tmp_path / "jobs.jsonl", line(1))
        remarks: list[str] = []
        with (
            Refusing(429, "busy", times=1) as server,
            Client(server.url, on_remark=remarks.append) as client,
            pytest.raises(Full, match="No room"),
        ):
            client.submit_file(file)
        assert remarks == ["No room. Trying again in 1 s."]
        with (
            Refusing(429, "busy", times=9) as server,
            Client(server.url, busy_patience_s=0) as client,
            pytest.raises(Busy, match="No room") as caught,
        ):
            client.submit_file(file)
        assert (caught.value.retry_after_s, caught.value.exit_code, server.asked) == (1.0, 3, 1)

    def test_patience_is_used_up_to_its_end(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """A service that wants a longer wait than is left of it is asked once more when it is over."""
        file = write(tmp_path / "jobs.jsonl", line(1))
        slept: list[float] = []
        monkeypatch.setattr(exchange, "time", SimpleNamespace(monotonic=lambda: sum(slept)))
        monkeypatch.setattr(blocking, "time", SimpleNamespace(sleep=slept.append))
        with (
            Refusing(429, "busy", times=9, retry_after_s=3600) as server,
            Client(server.url, busy_patience_s=600) as client,
            pytest.raises(Busy) as caught,
        ):
            client.submit_file(file)
        assert (caught.value.retry_after_s, server.asked, slept) == (3600.0, 2, [600.0])

    def test_the_command_says_why_nothing_was_taken(self, cli: Cli, tmp_path: Path) -> None:
        """One line and exit code 3."""
        file = write(tmp_path / "jobs.jsonl", line(1))
        with Refusing(507, "insufficient_storage", times=9) as server:
            code, out, err = cli("submit", file, "--server", server.url)
        assert (code, out) == (3, "")
        assert err.startswith("viiwork: No room. Later, the same command with --key viiwork-")
        assert len(err.splitlines()) == 1

    def test_what_only_the_service_can_refuse_names_the_file(self, service: Service, cli: Cli, tmp_path: Path) -> None:
        """And says that nothing of it is kept, unless all of it had been taken under the key before."""
        file = write(tmp_path / "jobs.jsonl", line(1), line(2, model="gpt"))
        code, out, err = cli("submit", file)
        assert (code, out) == (2, "")
        assert f"viiwork: {file}: line 2: model: nobody serves" in err
        assert err.endswith(" Nothing of the file was kept.\n")
        assert "kept" not in cli("submit", file, "--key", "mine")[2]

    def test_what_has_nothing_to_do_with_the_file_does_not_name_it(
        self, service: Service, cli: Cli, tmp_path: Path
    ) -> None:
        """Such as a key that stands for another file, which goes on."""
        cli("submit", write(tmp_path / "a.jsonl", line(1)), "--key", "mine")
        code, _, err = cli("submit", write(tmp_path / "b.jsonl", line(2)), "--key", "mine")
        assert (code, "b.jsonl" in err, "kept" in err) == (2, False, False), err


def test_spans_of_time() -> None:
    """As people write them."""
    assert [seconds_of(text) for text in ("", "90", "90s", "1.5h", "15 m", "2d")] == [None, 90, 90, 5400, 900, 172_800]
    for text in ("0", "-1", "1w", "h", "1h30m"):
        with pytest.raises(UsageError):
            seconds_of(text)


async def keys(service: Service) -> list[str]:
    return [key async for key in service.store.client.scan_iter()]


class Refusing:
    """A service that refuses with `status` so many times, then with 507."""

    def __init__(self, status: int, code: str, *, times: int, retry_after_s: int = 1) -> None:
        refusals = [(status, code)] * times
        outer = self
        self.asked = 0

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                outer.asked += 1
                self.rfile.read(int(self.headers["content-length"]))
                status, code = refusals.pop() if refusals else (507, "insufficient_storage")
                body = json.dumps({"error": {"message": "No room.", "type": "x", "param": None, "code": code}}).encode()
                self.send_response(status)
                self.send_header("retry-after", str(retry_after_s))
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_args: object) -> None:
                """Nothing on standard error."""

        self._server = HTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> Refusing:
        self._thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(10)
