"""The stock Celery app that we stand beside: default settings, a task that does nothing, its own Redis results.

The addresses come by environment, since they carry the password: `BENCH_BROKER`, `BENCH_RESULTS`.
"""

from __future__ import annotations

import os

from celery import Celery

SLOTS = 32


def make_stock_app(broker: str, results: str) -> Celery:
    """Nothing but the two addresses is set."""
    app = Celery("stock", broker=broker, backend=results, set_as_current=False)
    for name, forgetful in (("noop", False), ("noop_ignored", True)):
        app.task(noop, name=name, ignore_result=forgetful, shared=False)
    app.finalize()
    return app


def noop(text: str) -> str:  # noqa: ARG001 - what our jobs carry too
    """The no-op engine's answer."""
    return "no-op"


def __getattr__(name: str) -> Celery:
    """`celery -A bench.stock_app` finds `app` here, built when asked for: importing reads no environment."""
    if name == "app":
        return make_stock_app(os.environ["BENCH_BROKER"], os.environ["BENCH_RESULTS"])
    raise AttributeError(name)
