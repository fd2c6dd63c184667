"""`viiwork ask` and `viiwork top` as real processes, beside a real door and real workers."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import pytest

from tests.conftest import remove_keys
from tests.door import Door
from tests.terminal import INTERRUPT, Terminal, environment
from tests.visited import Visited
from tests.workers import Fleet, eventually, ready
from viiwork.client import Client
from viiwork.jobs import State, Status
from viiwork.settings import load_settings
from viiwork.store import Store

T = TypeVar("T")
ENDLESS = "9999 words, one every 0.05 s"
"""For what is cut short: it takes eight minutes."""
PREVIEW = "extractive-preview"
SIMULATED = "simulated-mistral-7b"
JOBS = Path(__file__).parents[2] / "samples" / "jobs.jsonl"


@dataclass
class Town(Visited):
    """A door, a worker that writes word by word, one that picks sentences, and a simulated card."""

    def command(self, *arguments: str, stdin: bytes | None = None) -> subprocess.CompletedProcess[str]:
        """The command away from any terminal."""
        done = subprocess.run(
            [sys.executable, "-m", "viiwork.cli.main", *arguments],
            input=b"" if stdin is None else stdin,
            capture_output=True,
            env=environment(self.url),
            timeout=120,
            check=False,
        )
        return subprocess.CompletedProcess(done.args, done.returncode, done.stdout.decode(), done.stderr.decode())

    def jobs(self) -> list[Status]:
        """All jobs of the words' model, by their ids."""

        async def read(store: Store) -> list[Status]:
            names = sorted([str(key) async for key in store.client.scan_iter(match=f"{store.prefix}job:*")])
            return [await store.job(name.rpartition(":")[2]) for name in names]

        return [job for job in self.do(read) if job.model == "noop"]

    def at_rest(self) -> None:
        """Wait until the workers say that they have no job."""

        async def idle(store: Store) -> bool:
            return not any(sum(worker.in_flight.values()) for worker in (await store.fleet()).workers)

        self.do(lambda store: eventually(lambda: idle(store), what="workers at rest"))


class Gate:
    """80 words, of which so many are written as a test lets through."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self.let(5)
        self.order = f"80 words, as {file} lets"

    def let(self, words: int) -> None:
        self._file.write_bytes(bytes(words))


@pytest.fixture
def gate(tmp_path: Path) -> Gate:
    """Five may come."""
    return Gate(tmp_path / "gate")


@pytest.fixture(scope="module")
def town(redis_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    root = tmp_path_factory.mktemp("town")
    settings = load_settings(
        {
            "fleet": {"name": root.name, "state_dir": str(root)},
            "redis": {"url": redis_url, "prefix": f"viiwork-test:{root.name}:"},
            "flower": {"enabled": False},
            "queue": {"beat_s": 0.2, "lease_ttl_s": 2.0, "hint_grace_s": 1.0, "drain_grace_s": 0.5},
        }
    )
    fleet = Fleet(settings)
    with Door(settings) as door:
        fleet.start("gpu0", module="tests.wordy")
        fleet.start("cpu0")
        quick = settings.engine.model_copy(update={"kind": "simulated", "time_scale": 0.001})
        fleet.start("cpu1", settings=settings.model_copy(update={"engine": quick}))
        made = Town(fleet, door.url)
        try:
            made.do(lambda store: ready(store, 3))
            yield made
        finally:
            fleet.close()
            made.do(remove_keys)


def ask(town: Town, *arguments: str, stdin: bytes | None = None) -> subprocess.CompletedProcess[str]:
    return town.command("ask", *arguments, "--model", "noop", stdin=stdin)


def one_line(text: str) -> bool:
    return len(text.strip().splitlines()) == 1 and "Traceback" not in text


class TestAsk:
    def test_into_a_pipe_goes_the_final_text_alone(self, town: Town) -> None:
        """Nothing else on standard output."""
        said = ask(town, "5 words, one every 0.02 s")
        assert said.returncode == 0, said.stderr
        job = town.jobs()[-1]
        assert job.answer is not None
        assert said.stdout == job.answer.text + "\n"
        assert said.stderr == ""
        assert (job.lane.value, job.stream) == ("interactive", True)

    def test_at_a_terminal_it_is_seen_while_it_is_written(self, town: Town, gate: Gate) -> None:
        """The first words are there while the job runs."""
        with Terminal(["ask", gate.order, "--model", "noop"], url=town.url) as terminal:
            terminal.wait_for("3né")
            assert town.jobs()[-1].state is State.RUNNING
            gate.let(80)
            assert terminal.end() == 0
        job = town.jobs()[-1]
        assert job.answer is not None
        assert terminal.screen == job.answer.text + "\n"

    def test_ctrl_c_cancels_the_job(self, town: Town) -> None:
        """Exit code 130, and what ran is stopped."""
        with Terminal(["ask", ENDLESS, "--model", "noop"], url=town.url) as terminal:
            terminal.wait_for("3né")
            terminal.type(INTERRUPT)
            assert terminal.end() == 130
        assert town.jobs()[-1].state is State.CANCELLED
        assert "Cancelled." in terminal.screen and "Traceback" not in terminal.screen

    def test_after_a_crash_the_answer_begins_again_on_a_new_line(self, town: Town, gate: Gate) -> None:
        """`(started again)`, then the whole answer once."""
        with Terminal(["ask", gate.order, "--model", "noop"], url=town.url) as terminal:
            terminal.wait_for("3né")
            town.fleet.kill("gpu0")
            town.fleet.start("gpu0", module="tests.wordy")
            terminal.wait_for("(started again)")
            gate.let(80)
            assert terminal.end() == 0
        job = town.jobs()[-1]
        assert job.answer is not None
        void, mark, text = terminal.screen.partition("(started again)\n")
        assert mark and void.endswith("\n") and "0né" in void
        assert text == job.answer.text + "\n"

    def test_text_on_standard_input_is_added(self, town: Town) -> None:
        """Below the question, if there is one."""
        assert ask(town, " ", stdin=b"2 words, one every 0 s").returncode == 0
        said = ask(town, "Count:", stdin=b"2 words, one every 0 s")
        assert (said.returncode, said.stdout) == (1, "")
        assert one_line(said.stderr) and "the stand-in writes words only" in said.stderr

    @pytest.mark.parametrize(
        ("arguments", "stdin", "reason"),
        [
            (["Why?"], b"x" * (1024 * 1024 + 1), "standard input: longer than 1 MiB"),
            (["Why?"], b"\xff\xfe", "standard input: is not UTF-8 text"),
            (["  "], b"", "QUESTION: is empty"),
            (["Why?", "--max-tokens", "0"], b"", "--max-tokens: "),
            (["Why?", "--temperature", "9"], b"", "--temperature: "),
        ],
    )
    def test_what_cannot_be_asked_is_one_line(
        self, town: Town, arguments: list[str], stdin: bytes, reason: str
    ) -> None:
        """Exit code 2, and no job."""
        before = len(town.jobs())
        said = ask(town, *arguments, stdin=stdin)
        assert (said.returncode, said.stdout) == (2, "")
        assert one_line(said.stderr) and reason in said.stderr
        assert len(town.jobs()) == before

    def test_an_engine_that_cannot_chat_says_so(self, town: Town) -> None:
        """The preview picks sentences; it follows no prompt."""
        said = town.command("ask", "Why?", "--model", PREVIEW)
        assert (said.returncode, said.stdout) == (2, "")
        assert one_line(said.stderr) and "(extractive preview) cannot answer a chat. It answers about" in said.stderr

    @pytest.mark.parametrize("asked", [{"prompt": "Once"}, {"messages": [{"role": "user", "content": "Why?"}]}])
    def test_a_file_of_jobs_that_the_engine_cannot_do_is_not_sent(
        self, town: Town, tmp_path: Path, asked: dict[str, Any]
    ) -> None:
        """Exit code 2 and what to do instead: once sent, each of its jobs would fail."""
        file = tmp_path / "jobs.jsonl"
        file.write_text(f"{json.dumps(asked)}\n" * 3)
        said = town.command("submit", str(file), "--model", PREVIEW)
        assert (said.returncode, said.stdout) == (2, "")
        assert one_line(said.stderr) and f"line 1: {next(iter(asked))}: {PREVIEW} (extractive preview)" in said.stderr
        assert "summarize, classify, ask" in said.stderr and "Nothing of the file was kept." in said.stderr

    def test_the_sample_jobs_have_an_answer_each_on_the_simulated_engine(self, town: Town) -> None:
        """As the README has it."""
        said = town.command("submit", str(JOBS), "--model", SIMULATED, "--wait", "--json")
        assert said.returncode == 0, said.stderr
        rows = [json.loads(line) for line in said.stdout.splitlines()]
        assert len(rows) == len(JOBS.read_text().splitlines())
        assert all(row["answer"]["text"].startswith("[simulated]") for row in rows)

    def test_a_task_that_the_engine_cannot_do_is_not_begun(self, town: Town, tmp_path: Path) -> None:
        """No document is read for it."""
        file = tmp_path / "letter.txt"
        file.write_text("The lease ends in May.")
        said = town.command("analyze", str(file), "--prompt", "List all dates.", "--model", PREVIEW)
        assert (said.returncode, said.stdout) == (2, "")
        assert "task: extractive-preview (extractive preview) cannot follow a prompt." in " ".join(said.stderr.split())

    def test_a_model_that_nobody_serves_and_a_service_that_is_not_there(self, town: Town) -> None:
        """Exit codes 2 and 3."""
        said = town.command("ask", "Why?", "--model", "nobody")
        assert (said.returncode, one_line(said.stderr)) == (2, True)
        said = town.command("ask", "Why?", "--server", "http://127.0.0.1:9")
        assert (said.returncode, one_line(said.stderr)) == (3, True)

    def test_json_is_the_final_status(self, town: Town) -> None:
        """Also of a job without an answer; then the exit code is 1."""
        said = ask(town, "2 words, one every 0 s", "--json", "--system", "Be brief.")
        assert (said.returncode, json.loads(said.stdout)["state"]) == (0, "succeeded")
        said = ask(town, "Why?", "--json")
        assert (said.returncode, json.loads(said.stdout)["error"]["code"]) == (1, "job_refused")
        assert said.stderr == ""


class TestTop:
    def test_into_a_pipe_goes_one_look(self, town: Town) -> None:
        """Models by lane, and workers with their slots."""
        town.at_rest()
        for arguments in ([], ["--once"]):
            said = town.command("top", *arguments)
            assert said.returncode == 0, said.stderr
            assert said.stdout.startswith(f"Fleet {town.fleet.settings.fleet.name}: 3 workers")
            for text in ("noop", "interactive", "gpu0@", "0 / 64 / 64", PREVIEW):
                assert text in said.stdout
            assert "\x1b" not in said.stdout

    def test_json_is_one_object_a_look(self, town: Town) -> None:
        """With --once one in all."""
        (look,) = town.command("top", "--json", "--once").stdout.splitlines()
        assert {worker["card"]["model"] for worker in json.loads(look)["workers"]} == {"noop", PREVIEW, SIMULATED}
        command = [sys.executable, "-m", "viiwork.cli.main", "top", "--json"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment(town.url)) as process:
            assert process.stdout is not None
            looks = [json.loads(process.stdout.readline()) for _ in range(2)]
            process.terminate()
        assert [look["fleet"] for look in looks] == [town.fleet.settings.fleet.name] * 2

    @pytest.mark.parametrize(("keys", "code"), [("q", 0), (INTERRUPT, 0)])
    def test_it_lives_until_q_or_ctrl_c_and_leaves_the_terminal_as_it_was(
        self, town: Town, keys: str, code: int
    ) -> None:
        """Echo and lines are back, and so is what stood there before."""
        with Terminal(["top"], url=town.url) as terminal:
            before = terminal.attributes()
            terminal.wait_for("gpu0@")
            assert terminal.attributes() != before
            terminal.type(keys)
            assert terminal.end() == code
            assert terminal.attributes() == before
        assert terminal.raw.count("\x1b[?1049h") == terminal.raw.count("\x1b[?1049l") == 1
        assert "Traceback" not in terminal.screen

    def test_sigterm_leaves_the_terminal_as_it_was_too(self, town: Town) -> None:
        """Exit code 143."""
        with Terminal(["top"], url=town.url) as terminal:
            before = terminal.attributes()
            terminal.wait_for("gpu0@")
            terminal.process.terminate()
            assert terminal.end() == 143
            assert terminal.attributes() == before

    def test_tokens_a_second_and_who_waits_are_shown(self, town: Town) -> None:
        """While somebody's job is being written."""
        with Client(town.url, submitter="anna@lab") as client:
            job = client.submit_job([{"role": "user", "content": ENDLESS}], model="noop")
            with Terminal(["top"], url=town.url) as terminal:
                terminal.wait_for("tokens/s")
                terminal.wait_for("anna@lab")
                terminal.type("q")
                assert terminal.end() == 0
            client.cancel_job(job.id)

    def test_a_service_that_is_not_there_is_one_line(self, town: Town) -> None:
        """Exit code 3, and no screen is taken."""
        said = town.command("top", "--server", "http://127.0.0.1:9")
        assert (said.returncode, said.stdout, one_line(said.stderr)) == (3, "", True)
