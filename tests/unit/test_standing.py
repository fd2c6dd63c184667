"""What a worker may do by `power.json`: while it is fresh, when nobody writes it any more, and before it is there."""

from __future__ import annotations

from pathlib import Path

import pytest

from viiwork.jobs import Lane
from viiwork.power.needs import in_vain, rules
from viiwork.power.standing import FREE, NOT_WRITTEN, standing_of
from viiwork.powerfile import Order, PowerFile, power_file, read_power, remove_power, write_power
from viiwork.processes import SUPERVISED_BY
from viiwork.settings import Settings, load_settings
from viiwork_workers.orders import PowerOrders, free, orders_of

TOLD = PowerFile(
    at_s=100.0,
    believed_s=15.0,
    host_watts=1400.0,
    deals=True,
    lanes=(Lane.BATCH,),
    opens={Lane.INTERACTIVE: "2026-11-22T07:00+01:00"},
    until_s=500.0,
    workers={"gpu0": Order(share=0.5, why="power"), "gpu1": Order(may_run=False, may_load=False, why="no room")},
)


def test_what_was_told_lately_holds() -> None:
    standing = standing_of(TOLD, worker="gpu0", now_s=110.0)
    assert (standing.takes, standing.keeps, standing.may_load, standing.why) == (0.5, 0.5, True, "power")
    assert standing.lanes == {Lane.BATCH}
    assert standing.opens == {Lane.INTERACTIVE: "2026-11-22T07:00+01:00"}


def test_an_engine_without_watts_takes_and_keeps_nothing() -> None:
    standing = standing_of(TOLD, worker="gpu1", now_s=110.0)
    assert (standing.takes, standing.keeps, standing.may_run, standing.may_load) == (0.0, 0.0, False, False)


def test_a_worker_that_is_not_named_waits_for_watts_if_it_has_cards() -> None:
    """The plan has just changed; one of the CPU has only hours to keep to."""
    cpu, gpu = (standing_of(TOLD, worker=name, now_s=110.0) for name in ("cpu0", "gpu7"))
    assert (cpu.takes, cpu.may_load, cpu.lanes) == (1.0, True, {Lane.BATCH})
    assert (gpu.may_run, gpu.may_load) == (True, False)


@pytest.mark.parametrize("now_s", [115.1, 10_000.0, 99.0], ids=["late", "very late", "of before the host's start"])
def test_with_a_budget_that_nobody_watches_nothing_is_taken_or_loaded_and_what_runs_is_finished(now_s: float) -> None:
    standing = standing_of(TOLD, worker="gpu0", now_s=now_s)
    assert (standing.takes, standing.keeps, standing.may_load) == (0.0, 0.5, False)
    assert "nobody watches the power budget" in standing.why


def test_without_a_budget_the_last_word_holds_and_lanes_until_their_hours_are_over() -> None:
    told = TOLD.model_copy(update={"host_watts": None})
    late, over = (standing_of(told, worker="gpu0", now_s=now_s) for now_s in (400.0, 501.0))
    assert (late.takes, late.may_load, late.lanes) == (0.5, True, {Lane.BATCH})
    assert (over.takes, over.lanes, dict(over.opens)) == (0.5, set(Lane), {})


def test_before_anything_is_told_nothing_is_taken_or_loaded() -> None:
    standing = standing_of(None, worker="gpu0", now_s=1.0)
    assert (standing.takes, standing.may_load, standing.why) == (0.0, False, NOT_WRITTEN)


def test_the_file_is_read_as_it_was_written_for_its_owner_alone(tmp_path: Path) -> None:
    write_power(tmp_path, TOLD)
    assert read_power(tmp_path) == TOLD
    assert power_file(tmp_path).stat().st_mode & 0o777 == 0o600
    assert [path.name for path in tmp_path.iterdir()] == ["power.json"]
    remove_power(tmp_path)
    remove_power(tmp_path)
    assert read_power(tmp_path) is None


def settings(tmp_path: Path, **sections: object) -> Settings:
    return load_settings({"fleet": {"state_dir": str(tmp_path)}, **sections})


def test_a_worker_reads_it_again_when_it_changes_and_goes_by_the_last_one_where_it_is_lost(tmp_path: Path) -> None:
    """A file that is broken counts as lost."""
    found = settings(tmp_path, power={"host_watts": 1000}, devices={"spec": "auto"})
    orders = PowerOrders(found, "gpu0", clock=lambda: 105.0)
    assert orders.now().why == NOT_WRITTEN
    write_power(tmp_path, TOLD)
    assert orders.now().takes == 0.5
    write_power(tmp_path, TOLD.model_copy(update={"workers": {"gpu0": Order(share=0.25)}}))
    assert orders.now().takes == 0.25
    power_file(tmp_path).write_text("{")
    assert orders.now().takes == 0.25
    remove_power(tmp_path)
    assert orders.now().takes == 0.25


def test_only_a_worker_that_up_keeps_waits_for_it(tmp_path: Path) -> None:
    """One that somebody starts alone has nobody who would tell it anything."""
    found = settings(tmp_path, schedule=[{"when": "22:00-07:00", "lanes": ["batch"]}])
    kept = {SUPERVISED_BY: str(tmp_path)}
    assert orders_of(found, "gpu0", environ={}) is free
    assert orders_of(settings(tmp_path), "gpu0", environ=kept) is free
    assert free() == FREE
    assert orders_of(found, "gpu0", environ=kept)().why == NOT_WRITTEN


@pytest.mark.parametrize(
    ("sections", "kept", "vain"),
    [
        ({}, False, False),
        ({"power": {"tariff_per_kwh": 0.3}, "devices": {"spec": "auto"}}, False, False),
        ({"power": {"host_watts": 1400}, "devices": {"spec": "auto"}}, True, False),
        ({"power": {"cap_watts": 180}, "devices": {"spec": "simulated:2xRadeonVII"}}, True, False),
        ({"power": {"host_watts": 1400}}, False, True),
        ({"power": {"cap_watts": 180}, "devices": {"spec": "cpu"}}, False, True),
        ({"schedule": [{"when": "22:00-07:00", "lanes": ["batch"]}]}, True, False),
        ({"schedule": [{"when": "22:00-07:00", "cap_watts": 180}]}, True, True),
    ],
)
def test_a_power_room_is_kept_only_where_there_is_something_to_watch(
    tmp_path: Path, sections: dict[str, object], kept: bool, vain: bool
) -> None:
    """A limit that nothing keeps, since no cards are named, is told."""
    found = settings(tmp_path, **sections)
    assert rules(found) is kept
    assert ("--devices auto" in in_vain(found)) is vain
