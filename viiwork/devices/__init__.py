"""The cards of this machine: which there are, and how each of them is."""

from __future__ import annotations

from viiwork.devices.base import Device, Devices, Link, Reading, State, Temperature, Vendor
from viiwork.devices.choose import open_devices

__all__ = ["Device", "Devices", "Link", "Reading", "State", "Temperature", "Vendor", "open_devices"]
