"""What people and programs are told of energy: units, what is not known, and what it costs."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from service import Service
from tests.hands import Hands, sealed_batch, upkeep
from viiwork.cli.energy import energy_of, figures, fleet_lines
from viiwork.cli.main import run
from viiwork.client import Client
from viiwork.expense import Cost
from viiwork.power.energy import Energy
from viiwork.roster import FleetEnergy, FleetStatus, TenantLoad
from viiwork.store import Store
from viiwork.store.leases import Verdict, commit_call
from viiwork.store.meters import Unclaimed
from viiwork.telemetry import MAX_WORKERS, Once, Snapshot
from viiwork.work import Answer

POWER = {"tariff_per_kwh": 0.3, "currency": "CHF", "co2_g_per_kwh": 380, "supply_efficiency": 0.9}
KWH_J = 3_600_000.0


@pytest.mark.parametrize(
    ("number", "said"),
    [
        (0.0, "0.0000"),
        (0.00414, "0.0041"),
        (0.0694, "0.0694"),
        (0.5, "0.500"),
        (1.204, "1.20"),
        (12.34, "12.3"),
        (1204.4, "1,204"),
    ],
)
def test_figures_are_as_long_as_they_are_worth(number: float, said: str) -> None:
    assert figures(number) == said


def test_what_is_known_in_part_is_at_least_that() -> None:
    cost = Cost(cards_kwh_at_wall=0.05, money=0.0138, currency="EUR", co2_g=17.4)
    used = TenantLoad(tenant="t", unfinished=0, energy_j=41.3 * 3600, energy_unknown_jobs=3, cost=cost)
    assert energy_of(used) == "at least 41.3 Wh (3 jobs unknown), 0.0138 EUR, 17.4 g CO2"
    assert energy_of(used.model_copy(update={"energy_unknown_jobs": 1})).startswith("at least 41.3 Wh (1 job unknown),")
    assert energy_of(used.model_copy(update={"energy_unknown_jobs": 0, "cost": None})) == "41.3 Wh"


def test_energy_of_cards_that_are_not_there_says_so() -> None:
    used = TenantLoad(tenant="t", unfinished=0, energy_j=3600.0, energy_simulated=True)
    assert energy_of(used) == "1.00 Wh of simulated cards"
    assert energy_of(used.model_copy(update={"energy_unknown_jobs": 2})) == (
        "at least 1.00 Wh of simulated cards (2 jobs unknown)"
    )


def test_what_nobody_measured_is_not_said_to_be_nothing() -> None:
    assert energy_of(TenantLoad(tenant="t", unfinished=0, energy_unknown_jobs=3)) == ""
    assert fleet_lines(FleetEnergy(energy_unknown_jobs=9)) == fleet_lines(None) == []


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    with Service(tmp_path, idle=True, power=POWER) as served:
        yield served


async def worked(store: Store) -> str:
    """A batch of two jobs: one that used a kilowatt-hour at the wall, and one of which nothing is known."""
    hands = Hands(store)
    await hands.beat()
    batch = await sealed_batch(store, 2)
    for energy in (Energy(0.9 * KWH_J, 1.0), Energy()):
        claim = await hands.take()
        said = Answer(text="done", engine="noop")
        call = await commit_call(store, claim.fence, Verdict.SUCCEEDED, said, max_attempts=4, energy=energy)
        await store.call(call.script, *call.args)
    return batch


def test_the_door_tells_joules_and_what_they_cost(service: Service) -> None:
    """Of an analysis, a job, a submitter and the fleet; rows have joules alone."""
    batch = service.run(worked(service.store))
    cost = {"cards_kwh_at_wall": 1.0, "money": 0.3, "currency": "CHF", "co2_g": 380.0}
    with httpx.Client(base_url=service.url) as http:
        analysis = http.get(f"/v1/analyses/{batch}").json()
        first, second = (http.get(f"/v1/jobs/{batch}-{n}").json() for n in (0, 1))
        fleet = http.get("/v1/fleet").json()
        rows = [json.loads(line) for line in http.get(f"/v1/analyses/{batch}/results").text.splitlines()]
        events = http.get(f"/v1/analyses/{batch}/events").text
    assert (analysis["energy_j"], analysis["energy_unknown_jobs"]) == (0.9 * KWH_J, 1)
    assert analysis["cost"] == pytest.approx(cost) == first["cost"] == fleet["energy"]["cost"]
    assert ("energy_j" in second, "cost" in second, second["energy_unknown_jobs"]) == (False, False, 1)
    assert [row.get("energy_j") for row in rows] == [0.9 * KWH_J, None]
    (tenant,) = fleet["tenants"]
    assert (tenant["energy_j"], tenant["energy_unknown_jobs"], tenant["cost"]) == (0.9 * KWH_J, 1, pytest.approx(cost))
    assert '"cards_kwh_at_wall": 1.0' in events


def test_people_read_watt_hours_money_and_grams(service: Service, capsys: pytest.CaptureFixture[str]) -> None:
    batch = service.run(worked(service.store))
    said = "at least 900 Wh (1 job unknown), 0.300 CHF, 380 g CO2"

    def shown(*words: str) -> str:
        run([*words, "--server", service.url])
        return capsys.readouterr().out

    for words in (("status", batch), ("results", batch), ("watch", batch), ("status", "--tenants"), ("status",)):
        told = shown(*words).replace("\n", " ")
        assert said in " ".join(told.split()), words
    assert "Submitter" not in shown("status")
    assert "900 Wh, 0.300 CHF" in shown("status", f"{batch}-0")
    assert "Energy" not in shown("status", f"{batch}-1")
    assert "Submitter" not in shown("top", "--once"), "nobody has unfinished jobs"


def test_tenants_are_of_the_whole_fleet(service: Service, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["status", "an_x", "--tenants", "--server", service.url]) == 2
    assert "--tenants" in capsys.readouterr().err


def test_idle_energy_stands_apart(service: Service) -> None:
    async def beat() -> None:
        hands = Hands(service.store)
        await upkeep(service.store).beat(
            hands.card, queues=["batch.noop"], in_flight={}, held=[], unclaimed=Unclaimed(7_200_000, 3_600_000, 500)
        )

    service.run(beat())
    with Client(service.url) as client:
        energy = client.fleet().energy
    assert energy is not None
    assert (energy.energy_j, energy.idle_j, energy.lost_j, energy.jobs_j) == (10_800.0, 7200.0, 3600.0, None)
    assert fleet_lines(energy)[0].endswith(": 2.00 Wh idle, 1.00 Wh lost.")


def test_workers_beyond_the_limit_are_other_and_none_is_missing_from_the_sum() -> None:
    workers = {f"gpu{n:04}@a": 1000 for n in range(MAX_WORKERS + 44)}
    snapshot = Snapshot(version="1", scrape_s=0.1, fleet=FleetStatus(fleet="f"), energy={"idle": workers})
    page = generate_latest(Once(snapshot)).decode()
    samples = [
        sample
        for family in text_string_to_metric_families(page)
        for sample in family.samples
        if sample.name == "viiwork_energy_joules_total"
    ]
    assert len(samples) == MAX_WORKERS + 1
    assert sum(sample.value for sample in samples) == MAX_WORKERS + 44
    assert next(sample.value for sample in samples if sample.labels["worker"] == "other") == 44
