"""Our own pool beside Celery's threads feeding the engine's loop, both with claim, lease and commit."""

from __future__ import annotations

from bench.machine import machine
from bench.measure import figures_of, measure, ratio_spread
from bench.ours import our_side
from bench.report import Figure, Goal, Report
from bench.rig import Rig

GOALS = (Goal("jobs_per_second_ratio", at_least=1.0),)
THREADS = ("-m", "bench.threads_worker", "cpu1")


async def run(rig: Rig, *, jobs: int, rounds: int) -> Report:
    """The two run in turn, one worker process each, on queues of their own."""
    figures: dict[str, Figure] = {**machine(), "server": rig.server_version, "jobs_per_run": jobs, "rounds": rounds}
    async with our_side(rig, model="noop") as loop, our_side(rig, model="noop-threads", argv=THREADS) as threads:
        variants = {
            "loop_pool": (loop.worker, lambda n: loop.run(n, batch=True)),
            "threads_pool": (threads.worker, lambda n: threads.run(n, batch=True)),
        }
        samples = await measure(rig, variants, jobs=jobs, rounds=rounds)
    for name, runs in samples.items():
        figures |= figures_of(name, runs)
    figures |= ratio_spread("jobs_per_second_ratio", samples["loop_pool"], samples["threads_pool"])
    return Report("pool", figures, GOALS)
