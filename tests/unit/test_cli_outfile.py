"""`viiwork analyze --out FILE.csv`: a table or report at the end, and no row lost on the way there."""

from __future__ import annotations

import csv
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from commands import Cli
from service import Service
from tests.terminal import Terminal
from viiwork.bigrun.record import beside, read_record


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
    said = cli("analyze", folder, "--task", "summarize", "--format", "csv")
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
    (tmp_path / "begun.csv.rows.jsonl").write_text('{"analysis": "an_x"}\n')
    (tmp_path / "pipe.csv").mkdir()
    refused = cli("analyze", folder, "--task", "summarize", *flags, "--server", "http://127.0.0.1:1")
    assert (refused.code, said in refused.err) == (2, True), refused.err
    assert (tmp_path / "there.csv").read_text() == "mine"


def test_rows_without_a_record_are_not_gone_on_with(service: Service, cli: Cli, folder: Path, fields: Path) -> None:
    """Nobody knows what they depend on."""
    fields.with_name("fields.csv.rows.jsonl").write_text('{"analysis": "an_x"}\n')
    said = cli("analyze", folder, "--task", "summarize", "-o", fields, "--resume")
    assert (said.code, "fields.csv.run.json is not there" in said.err) == (2, True)
