"""The pure pieces of the command line."""

from __future__ import annotations

import io
import subprocess
import sys
from pathlib import Path

import pytest
import typer
from rich.console import Console

from viiwork.cli.commands import PLACES, app_of
from viiwork.cli.main import run
from viiwork.cli.pace import Pace, duration
from viiwork.cli.progress import describe, upload_note
from viiwork.cli.report import SHOWN_NAMES, SHOWN_ROWS, Report, copies_line
from viiwork.cli.screen import clean, one_line
from viiwork.cli.tables import answers_table, file_columns, notices
from viiwork.cli.up import advice, fleet_command
from viiwork.errors import UsageError
from viiwork.fleet.report import FleetReport
from viiwork.jobs import BatchState, BatchStatus, Counts, Fault, Lane, Row, State
from viiwork.labels import parse_labels
from viiwork.store.manifest import Manifest
from viiwork.store.restore import Restored
from viiwork.work import Answer, Label


def status(**counts: int) -> BatchStatus:
    return BatchStatus(
        id="an_x",
        state=BatchState.RUNNING,
        tenant="t",
        lane=Lane.BATCH,
        model="m",
        task="ask",
        counts=Counts(**counts),
        created_ms=0,
    )


def test_each_command_is_found_by_its_name_and_whole() -> None:
    """Also where it is the only one that is loaded."""
    together = getattr(typer.main.get_command(app_of(*PLACES)), "commands")  # noqa: B009 - of a group
    assert list(together) == list(PLACES)
    for name in PLACES:
        (alone,) = getattr(typer.main.get_command(app_of(name)), "commands").values()  # noqa: B009
        assert [each.name for each in alone.params] == [each.name for each in together[name].params]


def test_a_command_loads_itself_and_no_other() -> None:
    """All of them took half a second of each start."""
    program = (
        "import sys; from viiwork.cli.main import run; run(['down', '--help']);"
        "sys.exit(any(f'viiwork.cli.{name}' in sys.modules for name in ('analyze', 'compose', 'submit')))"
    )
    assert subprocess.run([sys.executable, "-c", program], capture_output=True, check=False).returncode == 0


def row(index: int, answer: Answer | None = None, *, reason: str = "It is\x1b[2J damaged.") -> Row:
    fault = None if answer else Fault(code="damaged", message=reason, hint="Try\nagain.")
    state = State.SUCCEEDED if answer else State.FAILED
    return Row(index=index, custom_id="", document=f"d{index}", state=state, answer=answer, error=fault)


class TestPace:
    def test_the_rate_is_that_of_the_last_minute(self) -> None:
        """An early burst is forgotten."""
        pace = Pace()
        for second in range(200):
            pace.see(second, 1000 + second * 2)
        pace.see(0.0 + 200, 1400)
        assert pace.per_second == pytest.approx(2, rel=0.05)
        assert pace.left_s(100) == pytest.approx(50, rel=0.05)

    def test_nothing_is_promised_before_anything_was_seen(self) -> None:
        """Nor while nothing moves."""
        pace = Pace()
        assert (pace.per_second, pace.left_s(5)) == (0.0, None)
        pace.see(0, 3)
        pace.see(10, 3)
        assert pace.left_s(5) is None

    @pytest.mark.parametrize(
        ("seconds", "said"), [(0.4, "0 s"), (99, "99 s"), (100, "2 min"), (5999, "100 min"), (7500, "2 h 05 min")]
    )
    def test_durations_are_said_as_people_say_them(self, seconds: float, said: str) -> None:
        """Seconds, minutes, hours."""
        assert duration(seconds).replace("1 h 40 min", "100 min") == said

    def test_progress_names_only_what_is_there(self) -> None:
        """No zero failures, no rate before there is one."""
        pace = Pace()
        assert describe(status(total=4), pace) == "0 of 4 done"
        pace.see(0, 0)
        pace.see(2, 2)
        said = describe(status(total=4, succeeded=1, failed=1), pace)
        assert said == "2 of 4 done, 1 failed, 1.0 a second, 2 s left"

    @pytest.mark.parametrize(
        ("sent", "total", "said"),
        [(0, 81_920, "0.0 of 80.0 KiB"), (512, 1024, "0.5 of 1.0 KiB"), (1_572_864, 12 * 2**20, "1.5 of 12.0 MiB")],
    )
    def test_a_small_upload_is_told_in_kib(self, sent: int, total: int, said: str) -> None:
        """Or it would be `0.0 of 0.0 MiB` all the time."""
        assert upload_note(sent, total) == said


class TestScreen:
    def test_no_control_character_reaches_the_terminal(self) -> None:
        """Neither those of C0 and C1 nor the ones that turn text around; lone surrogates become a mark."""
        hostile = "a\x1b[31m\x07\x08\r\x9b\u202e\u2066\u200f\u2028b\ud800\tc\nd"
        assert clean(hostile) == "a[31mb?\tc\nd"
        assert one_line(hostile) == "a[31mb? c d"
        assert clean("ümläut 日本語 👩‍🔬") == "ümläut 日本語 👩‍🔬"


class TestReport:
    def test_only_as_many_rows_as_will_be_shown_are_kept(self) -> None:
        """Thousands of rows are counted, not held."""
        report = Report()
        for index in range(SHOWN_ROWS + 5):
            report.add(row(index, Answer(text="x")))
        assert (report.rows, len(report.good)) == (SHOWN_ROWS + 5, SHOWN_ROWS)

    def test_reasons_are_single_lines_in_the_order_of_sending(self) -> None:
        """Whatever a document made of them."""
        report = Report()
        for one in (row(2, reason="It is\x1b[2J late."), row(1), row(3, Answer(text="x"))):
            report.add(one)
        lines = [line.plain for line in report.bad_lines()]
        assert lines == ["· d1: It is[2J damaged. Try again.", "· d2: It is[2J late. Try again."]

    def test_documents_that_came_twice_are_said_to_have_what_they_have(self) -> None:
        """Where the first had no answer the copy was asked by itself, and may have none either."""
        report = Report()
        own, reason = {"same_as": "d0", "calls": 1}, "It is late."
        said = (row(1, Answer(text="x")), row(2, Answer(text="y")), row(3, reason=reason), row(4, reason=reason))
        told = ({"same_as": "d0"}, own, own, {"same_as": "d0"})
        for one, more in zip(said, told, strict=True):
            report.add(one.model_copy(update=more))
        report.add(row(0, Answer(text="x")))
        lines = [copies_line(count, how) for how, count in report.copies.items()]
        assert lines == [
            "1 document has the same content as another, and its answer.",
            "1 document has the same content as another, and an answer of its own: the other had none.",
            "1 document has the same content as another, and no answer, though asked by itself.",
            "1 document has the same content as another, and no answer either.",
        ]

    def test_rows_that_share_a_reason_are_one_line(self) -> None:
        """A batch that was cancelled is not hundreds of lines; the first are named, and all are counted."""
        report = Report()
        for index in reversed(range(4, 400)):
            report.add(row(index))
        report.add(row(1, reason="Alone."))
        report.add(row(2, reason="A pair."))
        report.add(row(3, reason="A pair."))
        assert [line.plain for line in report.bad_lines()] == [
            "· d1: Alone. Try again.",
            "· 2 × A pair. Try again: d2, d3",
            "· 396 × It is[2J damaged. Try again: d4, d5, d6, d7, d8, d9, d10, d11, d12, d13, …",
        ]
        assert report.rows - report.named == 396 - SHOWN_NAMES

    def test_the_table_of_a_file_of_jobs_speaks_of_jobs(self) -> None:
        """They have no pages."""
        console = Console(width=100, file=io.StringIO())
        console.print(answers_table([row(0, Answer(text="x"))], columns=100, heading="Job"))
        assert isinstance(console.file, io.StringIO)
        headings = console.file.getvalue().splitlines()[1]
        assert "Job" in headings
        assert "Pages" not in headings
        assert "File" not in headings

    def test_each_notice_is_said_once(self) -> None:
        """In the order of their appearance."""
        answers = [Answer(text="x", notice=notice) for notice in ("b", "a", "b", "")]
        assert notices(row(n, answer) for n, answer in enumerate(answers)) == ["b", "a"]

    @pytest.mark.parametrize("columns", [100, 120])
    def test_ordinary_file_names_stay_whole(self, columns: int) -> None:
        """In a table of a hundred columns and more, beside an engine of several words."""
        answer = Answer(text="words " * 40, engine="simulated Radeon VII", pages=12)
        name = "quarterly-report-2024.pdf"
        console = Console(width=columns, file=io.StringIO())
        console.print(answers_table([row(0, answer).model_copy(update={"document": name})], columns=columns))
        assert isinstance(console.file, io.StringIO)
        shown = console.file.getvalue()
        assert name in shown
        for heading in ("File", "Pages", "Answer", "Engine", "Seconds", "Radeon VII"):
            assert heading in shown
        assert max(map(len, shown.splitlines())) == columns

    @pytest.mark.parametrize(("longest", "columns", "width"), [(5, 100, 5), (23, 100, 23), (200, 100, 30), (9, 20, 4)])
    def test_the_names_take_what_they_need_and_leave_the_most_to_the_answers(
        self, longest: int, columns: int, width: int
    ) -> None:
        """Never less than the heading."""
        rows = [row(0).model_copy(update={"document": "x" * longest})]
        assert file_columns(rows, columns=columns) == width


class TestStopping:
    def test_the_command_that_stops_a_fleet_has_the_flags_that_started_it(self) -> None:
        """Fit for a shell."""
        assert fleet_command("down", fleet=None, state_dir=None, config=None) == "viiwork down"
        given = fleet_command("down", fleet="x2", state_dir=Path("my state"), config=Path("a.toml"))
        assert given == "viiwork down --fleet x2 --state-dir 'my state' --config a.toml"

    def test_a_restored_fleet_is_started_with_the_flags_it_was_restored_with(
        self, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], tmp_path: Path
    ) -> None:
        """`viiwork up` alone would start another one, which is empty."""
        facts = {"fleet": "default", "taken": "2026-11-21T02:00", "server": "Valkey"}
        sizes = dict.fromkeys(("dump_bytes", "blobs", "blob_bytes", "schema_version", "db"), 0)
        unseen = dict.fromkeys(("id", "viiwork", "prefix", "dump_sha256", "sums_sha256"), "")
        manifest = Manifest.model_validate({**facts, **sizes, **unseen})

        async def restored(*_: object, **__: object) -> Restored:
            return Restored(manifest=manifest, keys=1, blobs=0, given_back=0, missing=0)

        monkeypatch.setattr("viiwork.cli.backup.restore_fleet", restored)
        assert run(["restore", "x.tar", "--fleet", "x2", "--state-dir", str(tmp_path)]) == 0
        assert f"Start the fleet with `viiwork up --fleet x2 --state-dir {tmp_path}`." in capfd.readouterr().out

    def test_a_detached_fleet_is_stopped_by_that_command_and_another_by_ctrl_c(self) -> None:
        """As the last line says."""
        fleet = FleetReport(fleet="x2", state_dir="s", pid=1, api_url="http://x")
        assert advice(fleet, stop="viiwork down --fleet x2")[-1] == "Stop it with `viiwork down --fleet x2`."
        assert advice(fleet, stop="")[-1].startswith("Ctrl-C stops it")


class TestLabels:
    def test_labels_are_names_with_descriptions(self) -> None:
        """Blank pieces and remarks are skipped."""
        assert parse_labels(" a, b : second one ,,c") == (
            Label(name="a"),
            Label(name="b", description="second one"),
            Label(name="c"),
        )
        assert parse_labels("# remark\na: with, comma\n\nb", separator="\n") == (
            Label(name="a", description="with, comma"),
            Label(name="b"),
        )
        with pytest.raises(UsageError):
            parse_labels("a,:x")
