"""`list`, `retry`, `delete` and results in other formats, on the command line against a served door."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import httpx
import pytest

from commands import Cli
from service import Service
from tests.hands import Hands, sealed_batch
from viiwork.store.leases import Verdict


def folder(path: Path) -> Path:
    path.mkdir()
    for name in ("good", "bad"):
        (path / f"{name}.txt").write_text(f"=This is {name}.")
    return path


def analysed(cli: Cli, path: Path, *more: str) -> str:
    """The id of an analysis that has ended."""
    said = cli("analyze", folder(path), "--task", "summarize", *more)
    assert said.code == 1, said.err
    return next(word.rstrip(":") for word in said.err.split() if word.startswith("an_"))


def test_an_analysis_is_found_again_and_deleted(service: Service, cli: Cli, tmp_path: Path) -> None:
    found = analysed(cli, tmp_path / "docs", "--metadata", "study=a", "--retention-hours", "2")
    assert found in cli("list").out
    told = json.loads(cli("list", "--metadata", "study=a", "--status", "completed", "--mine", "--json").out)
    assert (told["id"], told["metadata"]) == (found, {"study": "a"})
    assert cli("list", "--metadata", "study=b").out == "There are none.\n"
    refused = cli("delete", found)
    assert (refused.code, "--yes" in refused.err, cli("status", found).code) == (2, True, 0), "nobody could be asked"
    for _ in range(2):
        said = cli("delete", found, "--yes")
        assert (said.code, said.out.startswith(f"{found} was deleted at ")) == (0, True)
        assert "2 documents" in said.out
    assert json.loads(cli("delete", found, "--yes", "--json").out)["finished"]
    assert cli("status", found).code == 2
    assert service.blob_files() == []


@pytest.mark.parametrize(
    "flags", [("--status", "done"), ("--metadata", "x"), ("--metadata", "a=b", "--metadata", "a=c")]
)
def test_a_list_that_cannot_be_is_refused_by_its_flag(cli: Cli, flags: tuple[str, ...]) -> None:
    said = cli("list", *flags)
    assert said.code == 2
    assert flags[0] in said.err


def test_failed_documents_are_tried_again(service: Service, cli: Cli) -> None:
    async def failing() -> str:
        batch = await sealed_batch(service.store, 1)
        await Hands(service.store).do(Verdict.FAILED)
        return batch

    batch = service.run(failing())
    assert cli("retry", batch, "--failed").out == "1 document is tried again.\n"
    assert cli("retry", batch, "--failed").out == "No document has failed: there is nothing to do.\n"


def test_what_cannot_be_read_is_skipped_and_counted(service: Service, cli: Cli, tmp_path: Path) -> None:
    found = analysed(cli, tmp_path / "docs")
    told = cli("retry", found).out
    assert told == "1 document is skipped: what cannot be read would fail again. `--all` tries it too.\n"
    assert cli("retry", found, "--all").out == "1 document is tried again.\n"


def test_results_are_written_as_a_table_and_a_report(service: Service, cli: Cli, tmp_path: Path) -> None:
    """By the file's ending; never over a file that is there, unless that is asked for."""
    found = analysed(cli, tmp_path / "docs")
    for name in ("first.csv", "second.csv"):
        said = cli("results", found, "--out", name)
        assert (said.code, "2 rows" in said.err) == (1, True)
        with (tmp_path / name).open(encoding="utf-8-sig", newline="") as file:
            rows = list(csv.DictReader(file))
        assert sorted(row["document"] for row in rows) == ["bad.txt", "good.txt"]
        assert {row["analysis"] for row in rows} == {found}
    refused = cli("results", found, "-o", "second.csv")
    assert (refused.code, "--force" in refused.err) == (2, True)
    assert cli("results", found, "-o", "second.csv", "--force").code == 1
    assert cli("results", found, "-o", "report.md").code == 1
    assert (tmp_path / "report.md").read_text("utf-8").startswith(f"# Analysis {found.replace('_', chr(92) + '_')}\n")
    assert cli("results", found, "--format", "csv").out.count(found) == 2
    assert [path.name for path in tmp_path.glob(".*.csv.*")] == []


def test_the_service_writes_the_same_table(service: Service, cli: Cli, tmp_path: Path) -> None:
    found = analysed(cli, tmp_path / "docs")
    cli("results", found, "-o", "ours.csv")
    url = f"{service.url}/v1/analyses/{found}/results"
    told = httpx.get(url, params={"format": "csv"}, trust_env=False)
    assert told.headers["content-disposition"] == f'attachment; filename="{found}.csv"'
    assert told.content == (tmp_path / "ours.csv").read_bytes()
    assert httpx.get(url, params={"format": "markdown"}, trust_env=False).text.count("\n## ") == 2
    refused = httpx.get(url, params={"format": "parquet"}, trust_env=False).json()["error"]
    assert (refused["param"], "--format parquet" in refused["message"]) == ("format", True)
