"""What an engine's Prometheus page says of its load. Pure."""

from __future__ import annotations

import re
from math import isfinite

from viiwork.recipes import Metrics
from viiwork_workers.engines.guard.frames import Load

SAMPLE = re.compile(r"^([A-Za-z_:][A-Za-z0-9_:]*)(?:\{.*\})?[ \t]+([^ \t]+)")


def read_load(page: str, metrics: Metrics) -> Load:
    """The samples that the recipe names; those of one name are added up, shares of a cache are not."""
    wanted = {name for name in metrics.model_dump(exclude={"path"}).values() if name}
    found: dict[str, list[float]] = {}
    for line in page.splitlines():
        sample = SAMPLE.match(line)
        if sample is not None and sample[1] in wanted and (value := _number(sample[2])) is not None:
            found.setdefault(sample[1], []).append(value)

    def total(name: str) -> int:
        return int(sum(found.get(name, ())))

    counters = {metrics.prompt_tokens, metrics.output_tokens, metrics.progress} - {""}
    return Load(
        running=total(metrics.running),
        waiting=total(metrics.waiting),
        kv_use=min(1.0, max(shares)) if (shares := found.get(metrics.kv_use)) else None,
        preemptions=total(metrics.preemptions),
        prompt_tokens=total(metrics.prompt_tokens),
        output_tokens=total(metrics.output_tokens),
        progress=total(metrics.progress),
        uncounted=bool(counters) and not counters & found.keys(),
    )


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if isfinite(value) else None
