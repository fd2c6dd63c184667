"""What the machine may draw, what that costs, and in which hours other limits hold."""

from __future__ import annotations

from typing import Annotated, Literal
from zoneinfo import ZoneInfo

from pydantic import Field, field_validator

from viiwork.hours import read_hours
from viiwork.jobs import Lane
from viiwork.settings.section import Positive, Section


class PowerSection(Section):
    """What the machine may draw, and what that costs."""

    host_watts: Positive | None = None
    """The whole machine's budget at the wall. None: no budget."""
    base_watts: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 150.0
    """What it draws at the wall beside its cards."""
    supply_efficiency: Annotated[float, Field(ge=0.5, le=1.0)] = 0.9
    cap_watts: Positive | None = None
    """Of each card. None: the card's default."""
    control_s: Positive = 5.0
    """How often what is drawn is held against the budget."""
    loads_at_once: Annotated[int, Field(ge=1, le=64)] = 1
    timezone: str | None = None
    """An IANA name, which the schedule goes by. None: the host's."""
    tariff_per_kwh: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None = None
    currency: Annotated[str, Field(min_length=1, max_length=8)] = "EUR"
    co2_g_per_kwh: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None = None

    @field_validator("timezone")
    @classmethod
    def _known_zone(cls, name: str | None) -> str | None:
        try:
            return name and ZoneInfo(name).key
        except (KeyError, ValueError, OSError) as error:  # unknown, or no name of a file at all, or of a directory
            raise ValueError(f"this computer knows no time zone {name!r}: one such as Europe/Berlin") from error


class ScheduleEntry(Section):
    """One `[[schedule]]`: what holds in these hours in place of the table `power`."""

    when: str
    lanes: Annotated[tuple[Lane, ...], Field(min_length=1)] = (Lane.INTERACTIVE, Lane.BATCH)
    """Those that work is taken from."""
    host_watts: Positive | None = None
    cap_watts: Positive | None = None
    days: tuple[Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"], ...] = ()
    """On which the hours begin. Empty: all."""

    @field_validator("when")
    @classmethod
    def _is_hours(cls, written: str) -> str:
        read_hours(written)
        return written
