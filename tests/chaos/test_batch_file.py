"""A batch that came as a file, with the reader, Redis, a worker and the door killed while it runs."""

from __future__ import annotations

import pytest

from bench.batchfile import run

LINES = 2000
pytestmark = [pytest.mark.chaos_long, pytest.mark.timeout(600)]


def test_every_line_is_answered_once_whoever_dies() -> None:
    figures = run(lines=LINES, line_bytes=500, hurt=True, quick=True, time_scale=0.01)
    assert figures.killed == ["reader0", "redis", "gpu0", "api"]
    assert (figures.status, figures.error_lines) == ("completed", 0)
    assert (figures.output_lines, figures.distinct_ids) == (LINES, LINES)
