"""What the energy of a record costs, by this service's settings: added where records leave by the HTTP door."""

from __future__ import annotations

from typing import TypeVar

from viiwork.jobs import BatchStatus, Status
from viiwork.power.cost import cost_of
from viiwork.roster import FleetEnergy, FleetStatus, TenantLoad
from viiwork.settings import PowerSection

Used = TypeVar("Used", Status, BatchStatus, TenantLoad, FleetEnergy)


def priced(record: Used, power: PowerSection) -> Used:
    """The same record with its cost; as it is where nothing of its energy is known."""
    cost = cost_of(record.energy_j, power)
    return record if cost is None else record.model_copy(update={"cost": cost})


def priced_fleet(status: FleetStatus, power: PowerSection) -> FleetStatus:
    """The same fleet with the cost of all its energy, and of each submitter's."""
    energy = status.energy and priced(status.energy, power)
    tenants = tuple(priced(tenant, power) for tenant in status.tenants)
    return status.model_copy(update={"energy": energy, "tenants": tenants})
