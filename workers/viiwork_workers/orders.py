"""What the host's power room tells this worker, by a file that is read again when it has changed."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping

from viiwork.power.needs import limits_watts, rules
from viiwork.power.standing import FREE, Standing, standing_of
from viiwork.powerfile import PowerFile, power_file, read_power
from viiwork.processes import SUPERVISED_BY
from viiwork.settings import Settings

Orders = Callable[[], Standing]
"""What holds at this moment."""


def free() -> Standing:
    """Nobody tells this worker anything."""
    return FREE


def orders_of(settings: Settings, worker: str, *, environ: Mapping[str, str]) -> Orders:
    """Where a worker hears what it may do; one that `viiwork up` does not keep has nobody who would tell."""
    ruled = rules(settings) and SUPERVISED_BY in environ
    return PowerOrders(settings, worker).now if ruled else free


def unheard(settings: Settings, *, environ: Mapping[str, str]) -> str:
    """What to say of limits that are set for a worker whom nobody tells of them; empty where there are none."""
    if not (limits_watts(settings) or settings.schedule) or SUPERVISED_BY in environ:
        return ""
    return "a power budget, a cap or a schedule is set, and only workers that `viiwork up` starts keep to it"


class PowerOrders:
    """The file as it is now; most looks find the one of the look before."""

    def __init__(self, settings: Settings, worker: str, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._state_dir = settings.state_dir
        self._path = power_file(settings.state_dir)
        self._worker = worker
        self._clock = clock
        self._seen: tuple[int, int] | None = None
        self._told: PowerFile | None = None

    def now(self) -> Standing:
        """What holds at this moment. A file that is lost counts as it was: it may be too old soon."""
        try:
            found = os.stat(self._path)  # noqa: PTH116 - once a second in every worker: a Path's takes twice as long
            seen: tuple[int, int] | None = (found.st_ino, found.st_mtime_ns)
        except OSError:
            seen = self._seen
        if seen != self._seen:
            self._seen, self._told = seen, read_power(self._state_dir) or self._told
        return standing_of(self._told, worker=self._worker, now_s=self._clock())
