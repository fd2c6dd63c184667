"""Celery's pool seam: jobs become tasks of the engine's loop. No threads, no processes, one job a slot."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from celery.concurrency.base import BasePool

from viiwork_workers.commits import End
from viiwork_workers.station import Station


class HintEnded(Exception):
    """Carries how a hint ended to `hints.HintRequest`."""

    def __init__(self, end: End) -> None:
        # Flower shows this text: a code and a state, never the message, which may name what the document says.
        super().__init__(f"{end.state}: {end.fault.code}" if end.fault else end.state)
        self.end = end


@dataclass(frozen=True, slots=True)
class Unsuccessful:
    """What Celery calls an ExceptionInfo; ours has no traceback to show."""

    exception: HintEnded
    traceback: str = ""


class LoopPool(BasePool):  # type: ignore[misc] # celery is untyped
    """`CELERY_CUSTOM_WORKER_POOL`: hands every hint to the station."""

    signal_safe = False
    body_can_be_buffer = True

    def on_apply(
        self,
        target: Any,  # noqa: ARG002 - Celery's tracer; the pipeline in `execute` takes its place
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,  # noqa: ARG002
        callback: Callable[..., Any] | None = None,
        accept_callback: Callable[..., Any] | None = None,
        **_: Any,
    ) -> None:
        station: Station = self.app.station
        _, hint, request = args[:3]
        begin = time.monotonic()

        def started() -> None:
            if accept_callback:
                accept_callback(station.card.pid, time.monotonic())

        def ended(end: End) -> None:
            if callback:
                callback(as_celery_result(end, time.monotonic() - begin))

        station.start(hint, request["delivery_info"]["routing_key"], started=started, ended=ended)

    def _get_info(self) -> dict[str, Any]:
        info: dict[str, Any] = super()._get_info()
        return {**info, **as_shown(self.app.station.facts()), "max-concurrency": self.limit}


def as_celery_result(end: End, runtime_s: float) -> tuple[int, Any, float]:
    """(failed, value, runtime in seconds), as Celery's `on_success` takes it."""
    if end.state == "succeeded":
        return 0, "succeeded", runtime_s
    return 1, Unsuccessful(HintEnded(end)), runtime_s


def as_shown(facts: dict[str, Any]) -> dict[str, list[str]]:
    """The worker's facts for the first table of its page; Flower takes the hyphens out of values that are not lists."""
    return {name.replace("_", " "): _in_words(value) for name, value in facts.items()}


def _in_words(value: Any) -> list[str]:
    if isinstance(value, dict):
        return [f"{key} {part}" for key, part in value.items()]
    return [str(part) for part in value] if isinstance(value, list) else [str(value)]
