"""Going on behind a row after a retry, which leaves a position empty: no row comes twice, and none is lost."""

from __future__ import annotations

import json
from pathlib import Path

from commands import Cli
from service import Service
from viiwork.client import Client


def test_a_file_of_rows_is_continued_after_retries(service: Service, cli: Cli, tmp_path: Path) -> None:
    """Of three documents one fails, and is tried again twice: so there are two empty positions."""
    folder, fresh = tmp_path / "papers", tmp_path / "fresh.jsonl"
    folder.mkdir()
    for name in ("a", "bad", "c"):
        (folder / f"{name}.txt").write_text(f"This is {name}.")
    with Client(service.url) as client:
        analysis = client.analyze(folder, task="summarize")
        analysis.wait()
        for _ in range(2):
            assert client.retry_failed(analysis.id, every=True).retried == 1
            analysis.wait()
        rows = list(client.results(analysis.id))
        assert [row.position for row in rows if row.error] == [4]
        for seen, row in enumerate(rows, start=1):
            assert row.position is not None
            behind = list(client.results(analysis.id, after=row.position + 1))
            assert [one.document for one in behind] == [one.document for one in rows[seen:]]
        assert [len(list(client.results(analysis.id, limit=limit))) for limit in (1, 2, 3, 4)] == [1, 2, 3, 3]
    for new in (3, 0):
        said = cli("results", analysis.id, "-o", fresh, "--json")
        assert json.loads(said.out)["new"] == new
    assert len(fresh.read_text().splitlines()) == 3
