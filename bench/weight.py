"""What processes weigh: their memory as the kernel counts it in three ways, and their processor time."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import psutil

from bench.report import Figure
from bench.rounds import median

MB = 1_000_000
KINDS = ("rss", "pss", "uss")
"""Resident, pages shared with others included; those divided among who shares them; those of this process alone."""


def memory_of(name: str, processes: Iterable[psutil.Process]) -> dict[str, Figure]:
    """Median and largest of each kind: `<name>_rss_mb_median`, `<name>_rss_mb_max`."""
    seen = [process.memory_full_info() for process in processes]
    return {
        f"{name}_{kind}_mb_{how}": of([getattr(one, kind) / MB for one in seen])
        for kind in KINDS
        for how, of in (("median", median), ("max", max))
    }


def cpu_s(processes: Sequence[psutil.Process]) -> float:
    """Processor time of these processes so far, without their children's."""
    return float(sum(sum(process.cpu_times()[:2]) for process in processes))
