"""How a measurement is kept to itself, and ends in order whichever way out it takes."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Awaitable
from types import FrameType

from bench.report import Report

STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


async def measured(report: Awaitable[Report]) -> Report:
    """The report. A stop comes through at an await alone: in between, a process may be started and not yet known.

    Raises KeyboardInterrupt.
    """
    measuring = asyncio.ensure_future(report)
    loop, handlers = asyncio.get_running_loop(), {number: signal.getsignal(number) for number in _heeded()}

    def stop() -> None:
        for number in handlers:
            loop.add_signal_handler(number, lambda: None)
        measuring.cancel()

    for number in handlers:
        loop.add_signal_handler(number, stop)
    try:
        return await measuring
    except asyncio.CancelledError:
        handlers = dict.fromkeys(handlers, signal.SIG_IGN)
        raise KeyboardInterrupt from None
    finally:
        for number, handler in handlers.items():
            loop.remove_signal_handler(number)
            signal.signal(number, handler)


def forget_settings() -> None:
    """Neither a settings file nor VIIWORK_* variables reach a measurement: figures must mean the same everywhere."""
    for name in [name for name in os.environ if name.startswith("VIIWORK_")]:
        del os.environ[name]
    os.environ["VIIWORK_CONFIG"] = os.devnull


def stop_in_order() -> None:
    """Every way out takes down what was started; impatience meanwhile must not leave half of it."""
    heeded = _heeded()

    def stop(number: int, frame: FrameType | None) -> None:  # noqa: ARG001 - the signature of a handler
        for known in heeded:
            signal.signal(known, signal.SIG_IGN)
        raise KeyboardInterrupt

    for number in heeded:
        signal.signal(number, stop)


def _heeded() -> list[signal.Signals]:
    return [number for number in STOPPING if signal.getsignal(number) is not signal.SIG_IGN]
