"""Cards that are not there, so that a fleet of them can be planned, run, warmed and broken without one.

Workers write their load, the supervisor, the API and people read: all by files of one folder (`simulated_files.py`).
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from viiwork.devices.base import Device, Reading, State, Temperature
from viiwork.devices.kinds import CardKind, card_kinds
from viiwork.devices.simulated_files import CardFiles, CardRecord
from viiwork.devices.thermal import HOLDS_S, TAU_S, Standing, celsius, fan_rpm, power_w, settled
from viiwork.errors import UsageError

FOLDER = "simulated-cards"
LOWEST_CAP_SHARE = 0.4
"""Of the default cap; an assumption."""
PACE = re.compile(r"\d{1,4}(\.\d{1,3})?")
REST = 0.45
"""A core's clock without load, as a share of its highest; an assumption."""


class SimulatedDevices:
    """`SimulatedDevices("4xRadeonVII", state_dir)`; of `4xRadeonVII@20` heat runs twenty times as fast.

    A load that is not renewed within five seconds is over. A card that is off the bus is not found; the others keep
    their numbers, as where its KFD node outlives the fault.
    """

    def __init__(self, cards: str, state_dir: Path, *, clock: Callable[[], float] = time.monotonic) -> None:
        """Raises UsageError for a list of cards that cannot be read. The clock is one that all processes share."""
        self._kinds, pace = simulation(cards)
        self._tau_s = TAU_S / pace
        self._folder = state_dir / FOLDER
        self._clock = clock

    def found(self) -> tuple[Device, ...]:
        """Those that are on the bus."""
        devices = (_device(index, kind) for index, kind in enumerate(self._kinds))
        return tuple(device for device in devices if self._files(device).state() != "gone")

    def read(self, device: Device) -> Reading:
        """How it is by now, from what was last written of it."""
        files, kind = self._files(device), self._kind(device)
        state = files.state()
        if state != "ok":
            return Reading(state=state)
        return self._reading(kind, files.record() or _untouched(kind, self._clock()))

    def why_none(self) -> str:
        """All of them have fallen off."""
        return "" if self.found() else f"Every simulated card is off the bus: remove *.gone in {self._folder}."

    def put_load(self, device: Device, load: float, *, vram_used_bytes: int) -> None:
        """What its worker does with it now, 0 to 1. To be said once a second or two. Raises UsageError."""
        share = min(1.0, max(0.0, load))
        self._change(device, lambda record: _with(record, load=share, vram_used_bytes=vram_used_bytes))

    def set_cap(self, device: Device, watts: float) -> None:
        """Limit its power; 0 restores the default. Raises UsageError for a cap that the card would refuse."""
        kind = self._kind(device)
        lowest = kind.cap_w * LOWEST_CAP_SHARE
        if watts and not lowest <= watts <= kind.cap_max_w:
            hint = f"From {lowest:g} to {kind.cap_max_w:g} W, or 0 for the default of {kind.cap_w:g} W."
            raise UsageError(f"{device.name}: a power cap of {watts:g} W is not possible.", hint=hint)
        self._change(device, lambda record: _with(record, cap_w=watts or None))

    def set_fan(self, device: Device, *, turns: bool) -> None:
        """Stop its fan, or let it turn again. Raises UsageError."""
        self._change(device, lambda record: _with(record, fan=turns))

    def set_state(self, device: Device, state: State) -> None:
        """Let it fall off the bus (`gone`), start again (`resetting`), or come back (`ok`). Raises UsageError."""
        self._files(device).mark(state)

    def _change(self, device: Device, change: Callable[[CardRecord], CardRecord]) -> None:
        """A change counts from now; what was until now is kept as temperatures."""
        kind = self._kind(device)
        self._files(device).change(lambda record: change(self._until(kind, record, self._clock())))

    def _reading(self, kind: CardKind, record: CardRecord) -> Reading:
        since_s = max(0.0, self._clock() - record.at_s)
        standing = _standing(kind, record)
        warmth = celsius(kind, standing, since_s=since_s, tau_s=self._tau_s)
        load = record.load if since_s <= HOLDS_S else 0.0
        return Reading(
            state="ok",
            vram_used_bytes=record.vram_used_bytes if since_s <= HOLDS_S else 0,
            busy_percent=round(100.0 * load, 1),
            temperatures=tuple(Temperature(label, round(warmth[label], 1), *kind.limits[label]) for label in warmth),
            power_w=round(power_w(kind, standing, since_s=since_s), 1),
            cap_w=float(standing.cap_w),
            cap_min_w=kind.cap_w * LOWEST_CAP_SHARE,
            cap_max_w=float(kind.cap_max_w),
            cap_default_w=float(kind.cap_w),
            core_mhz=round(kind.core_mhz * (REST + (1 - REST) * load)),
            memory_mhz=kind.memory_mhz,
            fan_rpm=fan_rpm(kind, warmth, fan=record.fan),
            link=kind.link,
        )

    def _until(self, kind: CardKind, record: CardRecord | None, now_s: float) -> CardRecord:
        """The same card as of now. One that was written before the host's last start has cooled down."""
        if record is None or record.at_s > now_s:
            return _untouched(kind, now_s)
        since_s = now_s - record.at_s
        warmth = celsius(kind, _standing(kind, record), since_s=since_s, tau_s=self._tau_s)
        over = {} if since_s <= HOLDS_S else {"load": 0.0, "vram_used_bytes": 0}
        return _with(record, at_s=now_s, celsius=warmth, **over)

    def _files(self, device: Device) -> CardFiles:
        return CardFiles(self._folder, f"gpu{device.index}")

    def _kind(self, device: Device) -> CardKind:
        return self._kinds[device.index]


def simulation(written: str) -> tuple[tuple[CardKind, ...], float]:
    """The cards of `8xRadeonVII@20`, and how fast they heat. Raises UsageError."""
    cards, at, pace = written.partition("@")
    if not at:
        return card_kinds(cards), 1.0
    if not PACE.fullmatch(pace) or float(pace) == 0.0:
        raise UsageError(f"{at}{pace}: that is no pace.", hint="@20 heats twenty times as fast.", param="devices")
    return card_kinds(cards), float(pace)


def _device(index: int, kind: CardKind) -> Device:
    name = f"simulated-{index}"
    device = Device(name, "simulated", index, f"simulated {kind.name}", kind.arch, kind.vram_bytes)
    return replace(device, uuid=name)


def _untouched(kind: CardKind, now_s: float) -> CardRecord:
    """A card that has been at rest for long."""
    return CardRecord(at_s=now_s, celsius=settled(kind, power_w=kind.idle_w))


def _standing(kind: CardKind, record: CardRecord) -> Standing:
    return Standing(record.load, record.cap_w or kind.cap_w, record.fan, record.celsius)


def _with(record: CardRecord, **changes: object) -> CardRecord:
    return record.model_copy(update=changes)
