"""The merge's gate through a whole fleet, at a small size: reader, worker, quotes and merge, on a scripted engine."""

from __future__ import annotations

import io
from pathlib import Path

from rich.console import Console

from bench.quality import extraction
from bench.quality.__main__ import short_of
from bench.quality.desk import Desk
from bench.quality.packages import Library


async def test_extractions_of_many_parts_are_put_together_right(tmp_path: Path) -> None:
    """Short and long invoices and letters, with made-up values among what the parts say. 8 s."""
    report = await extraction.merge(Desk(Library(tmp_path), Console(file=io.StringIO())), count=12)
    assert short_of(report) == []
    assert report.figures["failed"] == 0
    assert float(report.figures["of_several_parts"]) >= 4
    assert float(report.figures["quotes_unsupported"]) > 0, "nothing was made up: the merge had nothing to choose"
