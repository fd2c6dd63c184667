"""The table of callbacks: who may be called, and how long a receiver is tried."""

from __future__ import annotations

import ipaddress
from pathlib import Path
from typing import Annotated

from pydantic import Field, field_validator

from viiwork.settings.section import Positive, Section


class CallbacksSection(Section):
    """Callbacks to programs elsewhere. Times are in seconds."""

    allow: tuple[str, ...] = ()
    """Networks beside the public internet that may be called, `192.168.7.0/24`; there also over plain HTTP."""
    base_url: Annotated[str, Field(pattern=r"^https?://[^\s?#@]+$")] | None = None
    """Where receivers reach the API: what `result_url` begins with. Default: its own address."""
    key: Annotated[str, Field(repr=False)] = ""
    """What the secrets in Redis are sealed with."""
    key_file: Path | None = None
    """Holds the key where `key` does not say it. Default: `callbacks.key` in the state directory, made when missing."""
    timeout_s: Annotated[float, Field(gt=0, le=60)] = 10.0
    """Of one try, from the look-up of the name to the answer's first line."""
    retry_base_s: Annotated[float, Field(ge=0.01, allow_inf_nan=False)] = 5.0
    retry_cap_s: Positive = 21_600.0
    give_up_s: Positive = 259_200.0
    stalled_s: Positive = 600.0
    """For so long work must wait, and none start, before `fleet.stalled` is told."""

    @field_validator("allow")
    @classmethod
    def _are_networks(cls, networks: tuple[str, ...]) -> tuple[str, ...]:
        for each in networks:
            try:
                ipaddress.ip_network(each, strict=False)
            except ValueError as error:
                raise ValueError(f"{each!r} is no network such as 192.168.7.0/24") from error
        return networks

    @property
    def networks(self) -> tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...]:
        """Those of `allow`."""
        return tuple(ipaddress.ip_network(each, strict=False) for each in self.allow)
