"""The dramatiq broker that we stand beside: default settings, an actor that does nothing, no results kept.

The address comes by environment, since it carries the password: `BENCH_BROKER`.
"""

from __future__ import annotations

import os
from typing import Any

import dramatiq
from dramatiq.brokers.redis import RedisBroker

QUEUE = "default"


def make_dramatiq_app(url: str) -> tuple[RedisBroker, dramatiq.Actor[[str], str]]:
    """The broker and its one actor; nothing but the address is set."""
    broker: Any = RedisBroker
    made: RedisBroker = broker(url=url)
    return made, dramatiq.actor(actor_name="noop", broker=made)(noop)


def noop(text: str) -> str:  # noqa: ARG001 - what our jobs carry too
    """The no-op engine's answer, which dramatiq throws away."""
    return "no-op"


def __getattr__(name: str) -> RedisBroker:
    """`dramatiq bench.dramatiq_app:broker` finds it here, built when asked for: importing reads no environment."""
    if name == "broker":
        return make_dramatiq_app(os.environ["BENCH_BROKER"])[0]
    raise AttributeError(name)
