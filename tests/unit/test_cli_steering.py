"""Dead letters, pausing, priorities and what status says of them, on the command line against a served door."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from commands import Cli
from service import Service
from tests.hands import FAULT, Hands, sealed_batch
from tests.workers import make_job
from viiwork.cardwords import slots
from viiwork.cli.cancel import describe as describe_cancelled
from viiwork.cli.dead import last_fault, letters_table, workers
from viiwork.cli.facts import analysis_view, documents, job_view, moment, state_of
from viiwork.cli.pace import Pace
from viiwork.cli.pause import show as show_paused
from viiwork.cli.progress import describe, seen
from viiwork.cli.tables import dead_letters, engine_of
from viiwork.jobs import Attempt, BatchState, BatchStatus, Counts, Fault, Lane, Priority, State, Status, TaskName
from viiwork.roster import FleetStatus, WorkerCard, WorkerStatus
from viiwork.store.leases import Verdict

NOBODY = "job_00000000000000000000000000"


@pytest.fixture
def service(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Service]:
    with Service(tmp_path / "state", idle=True) as running:
        monkeypatch.setenv("VIIWORK_URL", running.url)
        yield running


def die(service: Service, count: int = 1) -> list[str]:
    """Jobs that an engine fault has ended for good."""

    async def dying() -> list[str]:
        hands = Hands(service.store)
        await hands.beat()
        await service.store.submit([make_job() for _ in range(count)])
        done = []
        for _ in range(count):
            fence = (await hands.take()).fence
            assert (await hands.commit(fence, Verdict.RETRY, max_attempts=1))[1] == "dead"
            await service.store.release("batch.noop")
            done.append(fence.job)
        return done

    return service.run(dying())


def batch_of(service: Service, count: int) -> str:
    return service.run(sealed_batch(service.store, count))


class TestDead:
    def test_without_any_it_says_so(self, service: Service, cli: Cli) -> None:
        assert "There are no dead letters." in cli("dead", "list").out
        assert cli("dead", "list", "--json").out == ""
        assert "given up" not in cli("status").out
        assert cli("dead", "retry", "--all").out == "0 dead letters will be tried again.\n"

    def test_the_list_shows_who_tried_and_what_went_wrong(self, service: Service, cli: Cli) -> None:
        """As a table that says what to do next, and as one object a line."""
        first, second = die(service, 2)
        said = cli("dead", "list")
        assert said.code == 0
        for text in (first, second, "noop (batch)", "gpu0@here", FAULT.message):
            assert text in said.out
        assert "viiwork dead retry ID…" in said.err
        rows = cli("dead", "list", "--json").objects
        assert {row["id"] for row in rows} == {first, second}
        assert rows[0]["history"][0]["end"] == "retry"
        one = cli("dead", "list", "--limit", 1)
        assert (first in one.out) + (second in one.out) == 1
        assert "the last 1; --limit shows more" in one.err
        assert "2 jobs were given up: `viiwork dead list` shows why" in cli("status").out
        assert cli("status", "--json").objects[0]["dead"] == 2

    def test_one_is_shown_with_its_history(self, service: Service, cli: Cli) -> None:
        """Exit code 2 for a job that is not dead, and for one that there never was."""
        (job,) = die(service)
        said = cli("dead", "show", job)
        for text in (job, "dead", "engine fault", FAULT.message, "gpu0@here", "Given up after 1 attempts"):
            assert text in said.out
        assert cli("dead", "show", job, "--json").objects[0]["id"] == job
        assert cli("status", job).out == said.out
        for unknown in (NOBODY, "nonsense", "../x"):
            answer = cli("dead", "show", unknown)
            assert (answer.code, len(answer.err.splitlines()), answer.out) == (2, 1, "")

    def test_some_are_tried_again_and_the_others_named(self, service: Service, cli: Cli) -> None:
        """Exit code 1 when one of them could not be."""
        one, two, three = die(service, 3)
        said = cli("dead", "retry", one, NOBODY, two)
        assert (said.code, said.out) == (1, "2 dead letters will be tried again.\n")
        assert said.err.startswith(f"{NOBODY}: There is no job")
        again = cli("dead", "retry", one, "--json")
        assert again.code == 1
        assert again.objects[0]["done"] == 0
        assert "not dead" in again.objects[0]["refused"][0]["message"]
        everything = cli("dead", "retry", "--all")
        assert (everything.code, everything.out) == (0, "1 dead letter will be tried again.\n")
        assert service.run(service.store.job(three)).state in (State.WAITING, State.QUEUED)

    def test_some_or_all_are_put_away(self, service: Service, cli: Cli) -> None:
        """Nobody is asked where nobody could answer."""
        one, *others = die(service, 4)
        assert cli("dead", "purge", one).out == "1 dead letter was put away.\n"
        assert cli("dead", "purge", one).code == 1
        assert (cli("dead", "purge", "--all").code, len(cli("dead", "list", "--json").objects)) == (2, len(others))
        assert cli("dead", "purge", "--all", "--yes", "--json").objects[0] == {"done": len(others), "refused": []}
        assert cli("dead", "list", "--json").out == ""

    @pytest.mark.parametrize("verb", ["retry", "purge"])
    def test_neither_all_nor_names_is_wrong_usage(self, service: Service, cli: Cli, verb: str) -> None:
        """As is both; exit code 2, one line, nothing is done."""
        (job,) = die(service)
        for arguments in ([], [job, "--all"]):
            said = cli("dead", verb, *arguments)
            assert (said.code, len(said.err.splitlines()), said.out) == (2, 1, "")
        assert len(cli("dead", "list", "--json").objects) == 1

    @pytest.mark.parametrize(("answer", "left"), [("n\n", 1), ("y\n", 0)])
    def test_a_person_is_asked_before_all_are_put_away(
        self, service: Service, cli: Cli, answer: str, left: int
    ) -> None:
        """At a terminal; `n` changes nothing."""
        die(service)
        ours, theirs = pty.openpty()
        command = [sys.executable, "-m", "viiwork.cli", "dead", "purge", "--all"]
        environ = os.environ | {"VIIWORK_URL": service.url}
        process = subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, env=environ)
        os.close(theirs)
        os.write(ours, answer.encode())
        assert process.wait(60) == left
        shown = b"".join(written(ours)).decode()
        os.close(ours)
        assert "Put all dead letters away?" in shown
        assert len(cli("dead", "list", "--json").objects) == left


def written(terminal: int) -> Iterator[bytes]:
    """What was written to a terminal that nobody has open any more, in the pieces in which it comes."""
    with suppress(OSError):  # the end of it, where the other side is closed
        while piece := os.read(terminal, 65536):
            yield piece


class TestSteering:
    def test_an_analysis_is_paused_and_resumed(self, service: Service, cli: Cli) -> None:
        """Both may be said twice; status says that it is paused."""
        batch = batch_of(service, 3)
        for _ in range(2):
            assert cli("pause", batch).out == f"{batch} is paused: 0 of 3 documents are done.\n"
        assert "running, paused" in cli("status", batch).out
        assert cli("pause", batch, "--json").objects[0]["paused"] is True
        for _ in range(2):
            assert cli("resume", batch).out == f"{batch} is running: 0 of 3 documents are done.\n"
        assert cli("resume", batch, "--json").objects[0]["paused"] is False
        assert "paused" not in cli("status", batch).out

    def test_a_priority_is_set_and_shown(self, service: Service, cli: Cli) -> None:
        """Only where it is not the usual one; a wrong one is exit code 2 and nothing is sent."""
        batch = batch_of(service, 1)
        assert "Priority" not in cli("status", batch).out
        assert cli("priority", batch, "high").out == f"{batch} has high priority.\n"
        assert "high" in cli("status", batch).out
        assert cli("priority", batch, "low", "--json").objects[0]["priority"] == "low"
        wrong = cli("priority", batch, "urgent")
        assert (wrong.code, wrong.out) == (2, "")
        assert wrong.err == "viiwork: urgent: there is no such priority. Choose one of low, normal, high.\n"

    @pytest.mark.parametrize("command", [["pause"], ["resume"], ["priority"]])
    def test_what_cannot_be_steered_is_one_line(self, service: Service, cli: Cli, command: list[str]) -> None:
        """A job on its own, an analysis that has ended, and what there never was."""
        batch = batch_of(service, 1)
        assert cli("cancel", batch).code == 0
        tail = ["low"] if command == ["priority"] else []
        for any_id, reason in (
            (batch, "it is cancelled"),
            (f"{batch}-0", "Only a whole analysis can be"),
            (NOBODY, "Only a whole analysis can be"),
            ("an_00000000000000000000000000", "There is no analysis"),
            ("nonsense", "There is no such analysis"),
        ):
            said = cli(*command, any_id, *tail)
            assert (said.code, len(said.err.splitlines()), said.out) == (2, 1, "")
            assert reason in said.err


def analysis(**fields: Any) -> BatchStatus:
    base = {"id": "an_x", "state": BatchState.RUNNING, "tenant": "t", "lane": Lane.BATCH, "model": "m", "task": "ask"}
    return BatchStatus(**{**base, "counts": Counts(total=9, succeeded=3, failed=1), "created_ms": 0, **fields})


def job(**fields: Any) -> Status:
    base = {"id": "job_x", "state": State.DEAD, "lane": Lane.BATCH, "model": "m", "task": TaskName.RUN, "tenant": "t"}
    return Status(**{**base, **fields})


def shown(view: Any, *, columns: int = 140) -> str:
    console = Console(width=columns)
    with console.capture() as text:
        console.print(view)
    return text.get()


class TestViews:
    def test_progress_says_that_it_is_paused_and_promises_no_end(self) -> None:
        """The time before the pause says nothing of the pace after it."""
        pace = Pace()
        pace.see(0, 0)
        pace.see(2, 4)
        assert describe(analysis(), pace) == "4 of 9 done, 1 failed, 2.0 a second, 2 s left"
        assert describe(analysis(paused=True), pace) == "4 of 9 done, 1 failed, paused"
        held = analysis(held="This key may send 3 requests a minute.")
        assert describe(held, pace) == "4 of 9 done, 1 failed, held: This key may send 3 requests a minute."
        assert state_of(held) == "running, held: This key may send 3 requests a minute."
        assert seen(pace, analysis(paused=True)).per_second == 0.0
        assert seen(pace, analysis()) is pace
        high = analysis(priority=Priority.HIGH, paused=True)
        assert describe(high, pace) == "4 of 9 done, 1 failed, high priority, paused"
        over = analysis(state=BatchState.CANCELLED, paused=True)
        assert describe(over, pace) == "4 of 9 done, 1 failed"
        late = analysis(state=BatchState.EXPIRED)
        assert describe(late, pace) == "4 of 9 done, 1 failed or expired"
        assert "Failed or expired" in shown(analysis_view(late))

    def test_jobs_that_run_one_at_a_time_are_told_with_the_reason(self) -> None:
        """A single one holds nobody up, so progress need not count it."""
        held = analysis(suspects=12)
        assert describe(held, Pace()) == "4 of 9 done, 1 failed, 12 one at a time"
        assert describe(analysis(suspects=1), Pace()) == describe(analysis(), Pace())
        assert describe(analysis(suspects=2, state=BatchState.COMPLETED), Pace()) == "4 of 9 done, 1 failed"
        assert "12 jobs run one at a time on each worker: they were in an engine" in shown(analysis_view(held))
        assert "Suspects" not in shown(analysis_view(analysis()))

    def test_an_analysis_shows_its_deadline_and_a_job_its_attempts(self) -> None:
        """Moments by this computer's clock."""
        due_ms = 1_800_000_000_000
        assert moment(due_ms) in shown(analysis_view(analysis(deadline_ms=due_ms)))
        assert "Deadline" not in shown(analysis_view(analysis()))
        died = Attempt(attempt=1, worker="gpu0@a", started_ms=due_ms, ended_ms=due_ms + 4000, end="crashed")
        tried = Attempt(
            attempt=2,
            worker="gpu1@a",
            started_ms=due_ms + 9000,
            ended_ms=due_ms + 130_000,
            end="retry",
            fault=Fault(code="engine_fault", message="It\x1b[2J fell\nsilent."),
        )
        text = shown(job_view(job(history=(died, tried), strikes=1, suspect=True, attempt=2, deadline_ms=due_ms)))
        for part in ("Strikes", "Suspect", "Deadline", "engine or worker died", "4 s", "2 min", "gpu1@a"):
            assert part in text
        assert "engine_fault: It[2J fell silent." in text
        plain = shown(job_view(job(state=State.SUCCEEDED)))
        assert not {word for word in ("Custom id", "Analysis") if word in plain}
        assert not {word for word in ("Strikes", "Suspect", "Deadline", "Took") if word in plain}

    def test_a_file_of_jobs_has_jobs_and_no_documents(self, capfd: pytest.CaptureFixture[str]) -> None:
        """In all that is said of it."""
        jobs = analysis(task="jobs")
        for text in (shown(analysis_view(jobs)), describe_cancelled(jobs), documents(jobs)):
            assert "jobs" in text.lower()
            assert "document" not in text.lower()
        show_paused(jobs, "paused", as_json=False)
        assert capfd.readouterr().out == "an_x is paused: 4 of 9 jobs are done.\n"
        one = analysis(task="jobs", counts=Counts(total=1))
        assert describe_cancelled(one) == "an_x is running: 0 of 1 job has an answer, 0 were cancelled."

    def test_an_analysis_shows_its_times_and_a_job_what_its_sender_calls_it(self) -> None:
        """And the analysis that the job belongs to."""
        then_ms = 1_800_000_000_000
        ended = analysis(created_ms=then_ms, finished_ms=then_ms + 60_000, expires_ms=then_ms + 3_600_000)
        text = shown(analysis_view(ended))
        for at_ms in (ended.created_ms, ended.finished_ms, ended.expires_ms):
            assert moment(at_ms) in text
        assert "Ended" not in shown(analysis_view(analysis(created_ms=then_ms)))
        text = shown(job_view(job(id="an_x-0", custom_id="invoice\x1b 7", batch="an_x")))
        assert "invoice 7" in text
        assert "an_x " in text

    def test_ids_of_dead_letters_can_be_copied_from_a_narrow_screen(self) -> None:
        """Whatever else is in the row; a part of a document has the longest id."""
        ids = ["job_01k2m3n4p5q6r7s8t9v0w1x2y3", "an_01k2m3n4p5q6r7s8t9v0w1x2y3-123456l0p789"]
        tried = Attempt(attempt=1, worker="gpu0@a-long-name.example.org", started_ms=1, ended_ms=2, end="retry")
        letters = [
            job(id=any_id, model="m" * 64, custom_id="c" * 256, finished_ms=1, history=(tried,), attempt=3, error=FAULT)
            for any_id in ids
        ]
        text = shown(letters_table(letters), columns=80)
        assert all(any_id in text for any_id in ids)
        assert max(map(len, text.splitlines())) <= 80
        assert "c" * len(ids[1]) in text

    def test_an_attempt_of_a_kind_that_is_not_known_yet_is_shown_by_its_name(self) -> None:
        """A newer service may have more of them."""
        odd = Attempt(attempt=1, worker="w", started_ms=0, ended_ms=5, end="evaporated")
        assert "evaporated" in shown(job_view(job(history=(odd,))))

    def test_a_dead_letter_names_each_worker_once_and_the_last_fault(self) -> None:
        """A crash says nothing, so an older fault stands for it."""
        tries = [
            Attempt(attempt=n, worker=f"gpu{n % 2}@a", started_ms=1, ended_ms=2, end=end, fault=fault)
            for n, end, fault in ((1, "retry", FAULT), (2, "crashed", None), (3, "crashed", None))
        ]
        letter = job(history=tuple(tries), worker="gpu1@a")
        assert workers(letter) == ["gpu1@a", "gpu0@a"]
        assert last_fault(letter) == FAULT.message
        assert last_fault(job(error=Fault(code="dead", message="x" * 300))) == "x" * 199 + "…"
        assert last_fault(job()) == ""

    def test_the_fleet_shows_dead_letters_limits_and_engines_that_restart(self) -> None:
        """And nothing of the kind while all is well."""
        assert dead_letters(FleetStatus(fleet="f")) == []
        assert dead_letters(FleetStatus(fleet="f", dead=1))[0].startswith("1 job was given up: `viiwork dead list`")
        card = {"name": "w", "incarnation": "w", "host": "h", "pid": 1, "engine": "noop", "model": "m", "slots": 16}
        worker = WorkerCard(**card)  # type: ignore[arg-type] # a dict of many types
        assert (slots(WorkerStatus(card=worker)), engine_of(worker)) == ("0/16", "noop")
        full = worker.model_copy(update={"limit": 16, "engine_state": "ready"})
        assert (slots(WorkerStatus(card=full)), engine_of(full)) == ("0/16", "noop")
        less = worker.model_copy(update={"limit": 0, "engine_state": "restarting (3 deaths)"})
        assert (slots(WorkerStatus(card=less)), engine_of(less)) == ("0/0/16", "noop, restarting (3 deaths)")
