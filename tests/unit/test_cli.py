"""The command line against a served door: what it prints, writes and answers."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import fakeredis
import pytest

from commands import Cli
from service import Service
from standin import MODEL, NOTICE, StandIn
from tests.ports import free_port
from tests.terminal import Terminal
from viiwork.cli.watch import patiently
from viiwork.client import Client
from viiwork.errors import Unavailable
from viiwork.jobs import BatchStatus
from viiwork.multipart import TextDocument


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "papers"
    (root / "deep").mkdir(parents=True)
    (root / ".git").mkdir()
    (root / "a.txt").write_text("alpha [bold] \x1b[31mred\x1b]0;title\x07 \u202eevil")
    (root / "bad.txt").write_text("broken")
    (root / "deep" / "a.txt").write_text("deep alpha")
    (root / ".hidden").write_text("hidden")
    (root / ".git" / "config").write_text("hidden")
    return root


class TestAnalyze:
    def test_a_folder_becomes_a_table_with_reasons_for_the_bad_files(
        self, service: Service, cli: Cli, folder: Path
    ) -> None:
        """Exit code 1 because one file has no answer; the notice stands there once; no control character gets out."""
        said = cli("analyze", folder)
        assert said.code == 1
        for text in ("a.txt", "deep/a.txt", "It says: deep alpha", "stand-in", "alpha [bold] [31mred"):
            assert text in said.out
        assert "bad.txt: This file is damaged. Send another copy." in said.out
        assert said.out.count(NOTICE) == 1
        assert "hidden" not in said.out
        assert not set(said.out) & {"\x1b", "\x07", "\u202e"}
        assert "3 of 3 done, 1 failed" in said.err

    def test_all_done_is_exit_code_0(self, service: Service, cli: Cli, folder: Path) -> None:
        """Without sub-folders if so asked."""
        (folder / "bad.txt").unlink()
        said = cli("analyze", folder, "--no-recursive", "--json")
        assert said.code == 0
        assert [row["document"] for row in said.objects] == ["a.txt"]

    def test_rows_go_to_a_file_as_they_come(self, service: Service, cli: Cli, folder: Path, tmp_path: Path) -> None:
        """One JSON object a line; a file that holds something is never overwritten."""
        out = tmp_path / "rows.jsonl"
        said = cli("analyze", folder, "--out", out)
        rows = [json.loads(line) for line in out.read_text().splitlines()]
        assert said.code == 1
        assert sorted(row["document"] for row in rows) == ["a.txt", "bad.txt", "deep/a.txt"]
        again = cli("analyze", folder, "--out", out)
        assert (again.code, "exists already" in again.err) == (2, True)
        assert cli("analyze", folder, "--out", tmp_path / "no" / "x").code == 2

    def test_labels_and_questions_choose_the_task(
        self, service: Service, cli: Cli, folder: Path, tmp_path: Path
    ) -> None:
        """`--task` may be left out when the options say it; labels may come from a file."""
        labels = tmp_path / "labels.txt"
        labels.write_text("# classes\ninvoice: asks for money\n\nletter\n")
        tasks = []
        for options in (["--labels", "a,b:second"], ["--labels-file", labels], ["--question", "Who?"], []):
            said = cli("analyze", folder / "a.txt", *options, "--no-wait", "--json")
            assert said.code == 0, said.err
            tasks.append(said.objects[0]["task"])
        assert tasks == ["classify", "classify", "ask", "summarize"]

    def test_an_analysis_may_be_urgent(self, service: Service, cli: Cli, folder: Path) -> None:
        said = cli("analyze", folder, "--deadline", "2h", "--priority", "high", "--no-wait", "--json")
        assert said.code == 0, said.err
        order = said.objects[0]
        assert order["priority"] == "high"
        assert order["deadline_ms"] - order["created_ms"] == 2 * 3_600_000

    def test_no_wait_prints_the_id_and_how_to_follow(self, service: Service, cli: Cli, folder: Path) -> None:
        """The id alone on standard output, for scripts."""
        said = cli("analyze", folder, "--no-wait", "--server", service.url)
        assert said.code == 0
        assert said.out.strip().startswith("an_") and len(said.out.split()) == 1
        assert f"viiwork watch {said.out.strip()} --server {service.url}" in said.err

    @pytest.mark.parametrize(
        ("arguments", "reason"),
        [
            (["nowhere/"], "nowhere/: no such file or directory"),
            (["empty"], "empty: no files in this directory"),
            (["/dev/null"], "/dev/null: not a file"),
            (["papers", "--task", "translate"], "--task translate: there is no such task"),
            (["papers", "--lane", "fast"], "--lane fast: there is no such lane"),
            (["papers", "--deadline", "soon"], "--deadline soon: is no span of time"),
            (["papers", "--labels", ":x"], "labels: ':x' has no name"),
            (["papers", "--labels-file", "none.txt"], "none.txt: no such file or directory"),
            (["papers", "--task", "classify"], "--labels: classify takes 2 to 100 labels, not 0"),
            (["papers", "--labels-file", "one.txt"], "--labels-file: classify takes 2 to 100 labels, not 1"),
            (["papers", "--task", "ask"], "--question: ask needs a question"),
            (["papers", "--no-wait", "--out", "rows"], "`viiwork results ID --out FILE`"),
            (["papers", "--question", "x", "--labels", "a,b"], "--task"),
            (["papers", "--model", "gpt"], MODEL),
            (["papers", "--server", "nonsense"], "http://"),
        ],
    )
    def test_bad_usage_is_one_line_and_exit_code_2(
        self, service: Service, cli: Cli, folder: Path, tmp_path: Path, arguments: list[str], reason: str
    ) -> None:
        """Never a stack trace, nothing on standard output."""
        (tmp_path / "empty").mkdir()
        (tmp_path / "empty" / ".hidden").touch()
        (tmp_path / "one.txt").write_text("invoice\n")
        said = cli("analyze", *arguments)

        assert said.code == 2
        assert reason in said.err
        remarks = [line for line in said.err.splitlines() if ": skipped " in line]
        assert len(said.err.splitlines()) == 1 + len(remarks)
        assert said.out == ""

    def test_links_in_a_folder_are_skipped_and_counted(
        self, service: Service, cli: Cli, folder: Path, tmp_path: Path
    ) -> None:
        """They may lead to a secret elsewhere; hidden ones are not worth a word."""
        secret = tmp_path / "secret.txt"
        secret.write_text("secret")
        for link, to in (("b.txt", secret), ("deep/c.txt", secret), ("outside", tmp_path), (".l", secret)):
            (folder / link).symlink_to(to)
        said = cli("analyze", folder, "--json")
        assert sorted(row["document"] for row in said.objects) == ["a.txt", "bad.txt", "deep/a.txt"]
        assert "skipped 3 symbolic links" in said.err

    def test_a_link_that_is_named_itself_is_followed(
        self, service: Service, cli: Cli, folder: Path, tmp_path: Path
    ) -> None:
        """To a file or to a folder."""
        (tmp_path / "file").symlink_to(folder / "a.txt")
        (tmp_path / "papers-too").symlink_to(folder)
        said = cli("analyze", "file", "papers-too", "--no-recursive", "--json")
        assert sorted(row["document"] for row in said.objects) == ["a.txt", "bad.txt", "file"]
        assert "symbolic" not in said.err

    def test_unreadable_files_are_named_before_anything_is_sent(self, cli: Cli, folder: Path) -> None:
        """Also inside a folder."""
        if os.geteuid() == 0:
            pytest.skip("root reads everything")
        (folder / "a.txt").chmod(0)
        assert "a.txt: permission denied" in cli("analyze", folder).err


class TestResults:
    def start(self, cli: Cli, folder: Path) -> str:
        said = cli("analyze", folder, "--json")
        return str(said.objects[0]["analysis"])

    def test_a_half_written_file_is_continued(self, service: Service, cli: Cli, folder: Path, tmp_path: Path) -> None:
        """Complete rows are kept, a torn last one is cut, the rest is added."""
        analysis = self.start(cli, folder)
        out = tmp_path / "rows.jsonl"
        assert cli("results", analysis, "--out", out).code == 1
        whole = out.read_bytes()
        lines = whole.splitlines(keepends=True)
        for kept, torn in ((0, b""), (1, b""), (1, lines[1][:30]), (2, b"{"), (3, b""), (0, lines[0][:5])):
            out.write_bytes(b"".join(lines[:kept]) + torn)
            said = cli("results", analysis, "--out", out, "--json")
            assert out.read_bytes() == whole
            assert said.objects == [{"analysis": analysis, "file": str(out), "rows": 3, "new": 3 - kept}]

    def test_a_file_of_something_else_is_left_alone(
        self, service: Service, cli: Cli, folder: Path, tmp_path: Path
    ) -> None:
        """Another analysis' rows, other JSON, and text without a line break."""
        first, second = self.start(cli, folder), self.start(cli, folder)
        out = tmp_path / "rows.jsonl"
        cli("results", first, "--out", out)
        for content in (out.read_bytes(), b'{"a": 1}\n', b"my diary", b"my diary\n"):
            out.write_bytes(content)
            said = cli("results", second, "--out", out)
            assert said.code == 2
            assert len(said.err.splitlines()) == 1
            assert out.read_bytes() == content
        assert cli("results", second, "--out", tmp_path).code == 2

    def test_what_is_there_is_shown_and_the_rest_is_named(self, service: Service, cli: Cli, folder: Path) -> None:
        """An analysis that is not finished says so on standard error."""
        analysis = self.start(cli, folder)
        shown, rows = cli("results", analysis), cli("results", analysis, "--json")
        assert "deep/a.txt" in shown.out
        assert {row["analysis"] for row in rows.objects} == {analysis}
        assert (shown.code, rows.code) == (1, 1)

    def test_unknown_ids_are_one_line(self, service: Service, cli: Cli) -> None:
        """Exit code 2 for every command that takes an id."""
        for command in ("results", "watch", "status", "cancel"):
            for any_id in ("an_00000000000000000000000000", "nonsense", "../x", "job_00000000000000000000000000"):
                said = cli(command, any_id)
                assert (said.code, len(said.err.splitlines()), said.out) == (2, 1, ""), (command, any_id)


class TestWatch:
    def test_following_survives_a_restart_of_the_service(self, cli: Cli, tmp_path: Path) -> None:
        """The rows it has are not asked for again, and none is missing."""
        redis = fakeredis.FakeServer()
        port = free_port()
        with Service(tmp_path / "state", idle=True, port=port, redis=redis) as first:
            with Client(first.url) as client:
                analysis = client.analyze([TextDocument(str(n)) for n in range(3)], task="summarize").id
            second = Service(tmp_path / "state", port=port, redis=redis)

            def restart() -> None:
                first.run(first.worker.work(limit=2))
                first.stop()
                time.sleep(0.3)
                second.__enter__()

            timer = threading.Timer(0.3, restart)
            timer.start()
            said = cli("watch", analysis, "--json", "--server", first.url)
            timer.join()
            second.stop()
        assert said.code == 0
        assert sorted(row["index"] for row in said.objects) == [0, 1, 2]

    def test_a_service_that_never_answered_is_not_waited_for(self, cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
        """It ends as `status` does; nothing is said of waiting."""
        monkeypatch.setattr("viiwork.cli.options.RETRIES", 0)
        said = cli("watch", "an_1", "--server", "http://127.0.0.1:1")
        assert (said.code, len(said.err.splitlines())) == (3, 1)
        assert said.err.startswith("viiwork: No VIIWork service answers")

    def test_a_service_that_goes_away_is_waited_for_and_that_is_said_once(
        self, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """However often it does not answer."""
        monkeypatch.setattr("viiwork.cli.watch.LOOK_EVERY_S", (0.0, 0.01))
        status = BatchStatus.model_construct(id="an_1")
        away = iter([True, True, True, False])

        def look() -> BatchStatus:
            if next(away):
                raise Unavailable("Nobody answers.")
            return status

        assert patiently(look, worth_waiting=lambda: True) is status
        assert capfd.readouterr().err == "Nobody answers. Waiting up to 60 s for it to come back.\n"

    def test_json_holds_nothing_that_steers_a_terminal(self, service: Service, cli: Cli, folder: Path) -> None:
        """Escaped, so that the value is the same."""
        (folder / "a.txt").write_text("x\x1b\x9b\u202e\u2028y")
        said = cli("analyze", folder / "a.txt", "--json")
        assert not set(said.out) & set("\x1b\x9b\u202e\u2028")
        assert said.objects[0]["answer"]["text"] == "It says: x\x1b\x9b\u202e\u2028y"


class TestStatus:
    def test_the_fleet_the_analysis_and_its_job_are_shown(self, service: Service, cli: Cli, folder: Path) -> None:
        """As tables for people, as objects for programs."""
        analysis = str(cli("analyze", folder, "--json").objects[0]["analysis"])
        assert f"cpu0@{MODEL}" in cli("status").out
        assert cli("status", "--json").objects[0]["fleet"] == "test"
        assert "summarize" in cli("status", analysis).out
        assert cli("status", f"{analysis}-0", "--json").objects[0]["id"] == f"{analysis}-0"
        assert "completed" in cli("cancel", analysis).out
        assert cli("cancel", analysis, "--json").objects[0]["state"] == "completed"
        assert cli("watch", analysis, "--json").code == 1

    def test_no_service_is_exit_code_3(self, cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
        """One line that names the address and what to do."""
        monkeypatch.delenv("VIIWORK_URL", raising=False)
        monkeypatch.setattr("viiwork.cli.options.RETRIES", 0)
        said = cli("status", "--server", "http://127.0.0.1:1")
        assert (said.code, said.out) == (3, "")
        assert said.err.startswith("viiwork: No VIIWork service answers at http://127.0.0.1:1. Start one with")
        assert len(said.err.splitlines()) == 1

    def test_a_login_in_the_address_is_not_shown(self, cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
        """A proxy in front may want one; what goes wrong is often pasted somewhere."""
        monkeypatch.setattr("viiwork.cli.options.RETRIES", 0)
        said = cli("status", "--server", "http://team:hush@127.0.0.1:1")
        assert "at http://127.0.0.1:1. Start" in said.err
        assert "hush" not in said.err

    def test_a_local_fleet_is_found_by_its_run_file(
        self, service: Service, cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Without --server and VIIWORK_URL; a damaged run file is as good as none."""
        monkeypatch.delenv("VIIWORK_URL")
        monkeypatch.setenv("VIIWORK_FLEET_STATE_DIR", str(tmp_path))
        monkeypatch.setattr("viiwork.cli.options.DEFAULT_URL", "http://127.0.0.1:1")
        monkeypatch.setattr("viiwork.cli.options.RETRIES", 0)
        supervisor = {"pid": 1, "identity": "x", "api_url": service.url}
        (tmp_path / "run.json").write_text(json.dumps({"fleet": "test", "supervisor": supervisor}))
        assert cli("status").code == 0
        (tmp_path / "run.json").write_text("{")
        assert cli("status").code == 3


class TestTheCommand:
    def test_version_and_help(self, cli: Cli) -> None:
        """Both are exit code 0."""
        version, helped = cli("--version"), cli("--help")
        assert (version.code, helped.code) == (0, 0)
        assert version.out.startswith("viiwork ")
        assert "analyze" in helped.out

    def test_unknown_commands_and_options_are_exit_code_2(self, cli: Cli) -> None:
        """Typer's own words."""
        assert cli("dance").code == 2
        assert cli("status", "--dance").code == 2

    def test_a_corrupt_settings_file_is_one_line(
        self, cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Exit code 2 and the file's name."""
        monkeypatch.delenv("VIIWORK_URL", raising=False)
        (tmp_path / "viiwork.toml").write_text("[api\n")
        said = cli("status")
        assert (said.code, len(said.err.splitlines())) == (2, 1)
        assert "viiwork.toml" in said.err

    def test_an_unexpected_error_is_two_lines_and_a_trace_only_if_asked(
        self, cli: Cli, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """VIIWORK_DEBUG=1 shows where it happened."""

        def fails(_server: str | None) -> None:
            raise RuntimeError("boom")

        monkeypatch.setattr("viiwork.cli.status.connect", fails)
        said = cli("status")
        assert (said.code, len(said.err.splitlines())) == (70, 2)
        assert "Traceback" not in said.err
        monkeypatch.setenv("VIIWORK_DEBUG", "1")
        assert "Traceback" in cli("status").err


EARLY = """
import os, signal, sys

class Finder:
    def find_spec(self, name, path=None, target=None):
        if name == "typer":
            os.kill(os.getpid(), signal.SIGINT)

sys.meta_path.insert(0, Finder())
from viiwork.cli.main import main
main()
"""


class TestAtATerminal:
    def test_ctrl_c_while_the_command_is_loaded_is_quiet(self) -> None:
        """The same exit code as later, and no stack trace."""
        ended = subprocess.run([sys.executable, "-c", EARLY], capture_output=True, text=True, timeout=60)
        assert (ended.returncode, ended.stdout, ended.stderr) == (130, "", "")

    def test_ctrl_c_detaches_and_says_how_to_come_back(self, tmp_path: Path, folder: Path) -> None:
        """The analysis goes on; exit code 130."""
        with Service(tmp_path / "state", idle=True) as service:
            with Terminal(["analyze", str(folder)], url=service.url) as terminal:
                terminal.wait_for("0 of 3 done")
                terminal.process.send_signal(signal.SIGINT)
                assert terminal.end() == 130
            screen = terminal.screen
            assert "goes on" in screen and "viiwork watch an_" in screen and "viiwork cancel an_" in screen
            assert "Traceback" not in screen
            analysis = screen.split("viiwork watch ")[1].split()[0]
            status = service.run(service.store.batch(analysis))
            assert (status.state, status.counts.total) == ("running", 3)

    def test_a_bar_shows_upload_and_documents(self, service: Service, folder: Path) -> None:
        """To the end, then the table."""
        with Terminal(["analyze", str(folder)], url=service.url) as terminal:
            assert terminal.end() == 1
        screen = terminal.screen
        for text in ("Uploading", "Analysing", "3 of 3 done, 1 failed", "It says: deep alpha"):
            assert text in screen
        assert "\x1b]0;title" not in terminal.raw

    def test_a_closed_pipe_is_no_error(self, service: Service, folder: Path) -> None:
        """`viiwork results ID --json | head -1` ends quietly."""
        command = [sys.executable, "-m", "viiwork.cli.main", "analyze", str(folder), "--json"]
        with subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=os.environ | {"VIIWORK_URL": service.url}
        ) as process:
            assert process.stdout is not None and process.stderr is not None
            process.stdout.close()
            said = process.stderr.read().decode()
        assert "Traceback" not in said and "BrokenPipe" not in said


class TestChoiceOfModel:
    @pytest.mark.parametrize("command", [("ask", "Why?"), ("analyze", "a.txt")])
    def test_with_several_models_the_flag_and_all_of_them_are_named(
        self, service: Service, cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: tuple[str, ...]
    ) -> None:
        """People type flags, not fields of a request."""
        monkeypatch.setattr(sys, "stdin", None)
        (tmp_path / "a.txt").write_text("alpha")
        service.run(StandIn(service.store, "other-model").join())
        said = cli(*command)
        assert (said.code, said.out) == (2, "")
        assert said.err.splitlines()[-1] == f"viiwork: --model: say which one; served here are other-model, {MODEL}."
        wrong = cli(*command, "--model", "nobody")
        assert (wrong.code, "--model: nobody serves" in wrong.err, MODEL in wrong.err) == (2, True, True)


class TestEstimate:
    def test_it_sends_nothing_and_says_what_the_model_says_of_itself(
        self, cli: Cli, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A model that does not say how much it takes is named as such."""
        with Service(tmp_path / "state") as running:
            monkeypatch.setenv("VIIWORK_URL", running.url)
            said = cli("analyze", folder, "--estimate")
            assert said.code == 2
            assert "says how much it takes" in said.err
            assert not running.blob_files()
