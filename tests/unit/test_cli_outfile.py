"""`viiwork analyze --out FILE.csv`: a table or report at the end, and no row lost on the way there."""

from __future__ import annotations

import csv
import json
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from commands import Cli
from service import Service
from tests.terminal import Terminal
from viiwork.bigrun.record import beside, read_record, write_record


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two documents that are read, and one that is not."""
    root = tmp_path / "papers"
    root.mkdir()
    for name in ("a", "b", "bad"):
        (root / f"{name}.txt").write_text(f"=This is {name}.")
    return root


@pytest.fixture
def fields(tmp_path: Path) -> Path:
    return tmp_path / "fields.csv"


def table(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        return sorted(csv.DictReader(file), key=lambda row: row["document"])


def names(path: Path) -> list[str]:
    return [row["document"] for row in table(path)]


def wait_until(true: Callable[[], bool]) -> None:
    """The minute is a bound, not a wish."""
    until_s = time.monotonic() + 60
    while not true():
        assert time.monotonic() < until_s
        time.sleep(0.01)


def test_one_command_makes_the_table_that_results_makes(service: Service, cli: Cli, folder: Path, fields: Path) -> None:
    """Beside it stand the rows that it was made of, and the record."""
    said = cli("analyze", folder, "--task", "summarize", "-o", fields)
    assert (said.code, "fields.csv: 3 rows" in said.err) == (1, True)
    assert names(fields) == ["a.txt", "b.txt", "bad.txt"]
    (analysis,) = {row["analysis"] for row in table(fields)}
    cli("results", analysis, "-o", "later.csv")
    assert fields.read_bytes() == fields.with_name("later.csv").read_bytes()
    rows = fields.with_name("fields.csv.rows.jsonl")
    assert len(rows.read_bytes().splitlines()) == 3
    record = read_record(beside(fields))
    assert (record.output, record.tally.documents, record.tally.answered) == ("fields.csv", 3, 2)


def test_a_report_tells_of_the_whole_run(service: Service, cli: Cli, folder: Path, tmp_path: Path) -> None:
    assert cli("analyze", folder, "--task", "summarize", "-o", "report.md").code == 1
    text = (tmp_path / "report.md").read_text("utf-8")
    assert text.startswith("# Run report.md\n")
    assert "- Documents: 3: 2 with an answer" in text
    assert "not finished" not in text
    assert text.count("\n## ") == 3


def test_standard_output_gets_the_table_alone(service: Service, cli: Cli, folder: Path, tmp_path: Path) -> None:
    said = cli("analyze", folder, "--format", "csv")
    assert "No task was named, so this summarizes each document" in said.err
    assert (said.code, len(list(csv.reader(said.out.splitlines())))) == (1, 4)
    rows = cli("analyze", folder, "--task", "summarize", "--format", "jsonl")
    assert sorted(row["document"] for row in rows.objects if "document" in row) == ["a.txt", "b.txt", "bad.txt"]


def test_resume_writes_the_table_of_old_and_new_rows(service: Service, cli: Cli, folder: Path, fields: Path) -> None:
    """What failed has one row, not two."""
    cli("analyze", folder, "--task", "summarize", "--sample", 1, "-o", fields)
    assert len(table(fields)) == 1
    (folder / "c.txt").write_text("One more.")
    said = cli("analyze", folder, "--task", "summarize", "-o", fields, "--resume")
    assert said.code == 1
    assert names(fields) == ["a.txt", "b.txt", "bad.txt", "c.txt"]
    cli("analyze", folder, "--task", "summarize", "-o", fields, "--resume")
    assert names(fields) == ["a.txt", "b.txt", "bad.txt", "c.txt"]


def test_a_table_that_somebody_worked_in_is_not_written_over(
    service: Service, cli: Cli, folder: Path, fields: Path
) -> None:
    cli("analyze", folder, "--task", "summarize", "-o", fields)
    fields.write_text("my own work")
    said = cli("analyze", folder, "--task", "summarize", "-o", fields, "--resume")
    assert (said.code, "was changed since" in said.err, fields.read_text()) == (2, True, "my own work")
    fields.rename(fields.with_name("mine.csv"))
    assert cli("analyze", folder, "--task", "summarize", "-o", fields, "--resume").code == 1
    assert len(table(fields)) == 3


def test_ctrl_c_leaves_the_table_of_what_has_come(
    folder: Path, fields: Path, cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And `--resume` goes on to the whole of it, without sending anything twice."""
    (folder / "bad.txt").unlink()
    with Service(tmp_path / "state", idle=True) as service:
        command = ["analyze", str(folder), "--task", "summarize", "-o", str(fields)]
        with Terminal(command, url=service.url) as terminal:
            terminal.wait_for("0 of 2 done")
            service.run(service.worker.work(limit=2))
            wait_until(lambda: fields.with_name("fields.csv.rows.jsonl").read_bytes().count(b"\n") == 1)
            terminal.process.send_signal(signal.SIGINT)
            assert terminal.end() == 130
            assert "--resume" in terminal.screen
        assert len(table(fields)) == 1
        assert read_record(beside(fields)).unfinished
        service.run(service.worker.work())
        monkeypatch.setenv("VIIWORK_URL", service.url)
        said = cli(*command, "--resume")
    assert "was begun earlier" in said.err
    assert (said.code, names(fields)) == (0, ["a.txt", "b.txt"])
    assert len({row["analysis"] for row in table(fields)}) == 1


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (("-o", "there.csv"), "this file exists already. Name another."),
        (("-o", "rows.xlsx"), "Write .csv, .md, .jsonl or .parquet"),
        (("-o", "begun.csv"), "begun.csv.rows.jsonl: this file exists already"),
        (("-o", "pipe.csv", "--resume"), "--format csv"),
        (("-o", "none/fields.csv"), "its directory does not exist"),
        (("-o", "docs.csv"), "is a directory. Name a file in it."),
        (("-o", "rows"), "is a directory. Name a file in it."),
        (("-o", "/proc/fields.csv"), "/proc/fields.csv: its directory cannot be written"),
        (("-o", "fields.csv", "--no-wait"), "viiwork results ID --out FILE"),
        (("--format", "csv", "--no-wait"), "--no-wait"),
        (("--format", "csv", "--json"), "--json"),
        (("--format", "parquet"), "parquet"),
        (("--format", "xml"), "Choose one of"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_sent(
    cli: Cli, folder: Path, tmp_path: Path, flags: tuple[str, ...], said: str
) -> None:
    """There is no service here at all: none is asked."""
    (tmp_path / "there.csv").write_text("mine")
    for name in ("docs.csv", "rows"):
        (tmp_path / name).mkdir()
    (tmp_path / "begun.csv.rows.jsonl").write_text('{"analysis": "an_x"}\n')
    os.mkfifo(tmp_path / "pipe.csv")
    refused = cli("analyze", folder, "--task", "summarize", *flags, "--server", "http://127.0.0.1:1")
    assert (refused.code, said in refused.err) == (2, True), refused.err
    assert (tmp_path / "there.csv").read_text() == "mine"


def test_rows_without_a_record_are_not_gone_on_with(service: Service, cli: Cli, folder: Path, fields: Path) -> None:
    """Nobody knows what they depend on."""
    fields.with_name("fields.csv.rows.jsonl").write_text('{"analysis": "an_x"}\n')
    said = cli("analyze", folder, "--task", "summarize", "-o", fields, "--resume")
    assert (said.code, "fields.csv.run.json is not there" in said.err) == (2, True)


class TestTriedAgain:
    """`viiwork retry` after `viiwork analyze -o`: table, rows and record stay of one kind."""

    @pytest.fixture
    def failed(self, service: Service, cli: Cli, folder: Path, fields: Path) -> str:
        """The analysis of three files, of which one answer could not be used then and can be now."""
        (folder / "bad.txt").rename(folder / "unfit.txt")
        assert cli("analyze", folder, "--task", "summarize", "-o", fields).code == 1
        (analysis,) = {row["analysis"] for row in table(fields)}
        service.worker.fits = True
        return analysis

    def retried(self, cli: Cli, analysis: str) -> None:
        assert "1 document is tried again" in cli("retry", analysis, "--failed").out
        assert cli("watch", analysis).code == 0

    def agrees(self, cli: Cli, fields: Path) -> None:
        """All three have three answers, and four calls: the failed one was paid for too."""
        rows = [json.loads(line) for line in fields.with_name("fields.csv.rows.jsonl").read_text().splitlines()]
        record, (listed,) = read_record(beside(fields)), cli("list", "--json").objects
        assert [row["state"] for row in table(fields)] == ["succeeded"] * 3
        assert sorted(row["document"] for row in rows) == names(fields) == ["a.txt", "b.txt", "unfit.txt"]
        assert (record.tally.answered, record.tally.calls) == (3, listed["calls"]) == (3, 4)
        assert record.tally.usage.model_dump() == listed["usage"]
        assert sum(int(row["prompt_tokens"]) for row in table(fields)) == listed["usage"]["prompt_tokens"]

    def test_results_over_the_table_of_a_run_renew_all_of_it(self, cli: Cli, failed: str, fields: Path) -> None:
        """And whoever goes on with it afterwards is not told that somebody else had worked in it."""
        self.retried(cli, failed)
        said = cli("results", failed, "-o", fields, "--force")
        assert (said.code, "fields.csv: 3 rows" in said.err) == (0, True)
        self.agrees(cli, fields)
        before = fields.read_bytes()
        said = cli("analyze", fields.with_name("papers"), "--task", "summarize", "-o", fields, "--resume")
        assert (said.code, "3 of 3 files are done already" in said.err) == (0, True)
        assert fields.read_bytes() == before
        self.agrees(cli, fields)

    def test_resume_fetches_what_was_tried_again_and_sends_nothing(self, cli: Cli, failed: str, fields: Path) -> None:
        self.retried(cli, failed)
        said = cli("analyze", fields.with_name("papers"), "--task", "summarize", "-o", fields, "--resume")
        assert (said.code, f"{failed} was tried again since" in said.err) == (0, True)
        self.agrees(cli, fields)

    def test_a_document_that_was_sent_anew_does_not_come_back(
        self, cli: Cli, failed: str, folder: Path, fields: Path
    ) -> None:
        """It has an answer of a later analysis: that of the first one, tried again after all, would be a second row."""
        command = ("analyze", folder, "--task", "summarize", "-o", fields, "--resume")
        assert cli(*command).code == 0
        self.retried(cli, failed)
        assert cli("results", failed, "-o", fields, "--force").code == 0
        assert names(fields) == ["a.txt", "b.txt", "unfit.txt"]
        record = read_record(beside(fields))
        assert (len(record.parts), record.tally.calls) == (2, 5), "the first one's retry was paid for as well"

    def test_rows_alone_are_renewed_too(self, cli: Cli, failed: str, folder: Path, fields: Path) -> None:
        """Half of them were written when the command died, and the retry came after."""
        rows = fields.with_name("rows.jsonl")
        record = read_record(beside(fields))
        unseen = record.parts[0].model_copy(update={"finished_ms": None})
        write_record(beside(rows), record.model_copy(update={"output": "rows.jsonl", "parts": (unseen,)}))
        rows.write_bytes(fields.with_name("fields.csv.rows.jsonl").read_bytes())
        self.retried(cli, failed)
        assert cli("analyze", folder, "--task", "summarize", "-o", rows, "--resume").code == 0
        told = [json.loads(line) for line in rows.read_text().splitlines()]
        assert [row["state"] for row in told] == ["succeeded"] * 3
        assert cli("results", failed, "-o", rows).code == 0
        assert len(rows.read_text().splitlines()) == 3
