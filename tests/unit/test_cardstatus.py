"""What the fleet is told of a worker's cards, and how fast their engine writes."""

from __future__ import annotations

from pathlib import Path

from viiwork.devices import Reading, Temperature
from viiwork.devices.simulated import SimulatedDevices
from viiwork.roster import CardStatus, WorkerCard
from viiwork.wire import as_json
from viiwork_workers.cardstatus import status_of
from viiwork_workers.pace import Pace


def test_a_card_is_told_with_its_memory_its_heat_and_its_power(tmp_path: Path) -> None:
    devices = SimulatedDevices("1xRadeonVII", tmp_path)
    (card,) = devices.found()
    told = status_of(card, devices.read(card))
    assert (told.name, told.number, told.state, told.cap_w) == ("simulated Radeon VII", 0, "ok", 250.0)
    assert (told.vram_used_bytes, told.vram_total_bytes) == (0, 17_163_091_968)
    assert (told.power_w, told.sensor, told.critical_c) == (20.0, "mem", 94.0)


def test_the_sensor_that_counts_is_the_one_nearest_to_its_own_limit(tmp_path: Path) -> None:
    """Not the one with the highest figure; without limits there is nothing better to go by."""
    (card,) = SimulatedDevices("1xRadeonVII", tmp_path).found()
    junction, memory = Temperature("junction", 96.0, 105.0), Temperature("mem", 91.0, 94.0)
    told = status_of(card, Reading("ok", temperatures=(junction, memory)))
    assert (told.sensor, told.temperature_c, told.critical_c) == ("mem", 91.0, 94.0)
    plain = Temperature("vrm", 70.0), Temperature("edge", 60.0), Temperature("odd", float("nan"))
    told = status_of(card, Reading("ok", temperatures=plain))
    assert (told.sensor, told.temperature_c, told.critical_c) == ("vrm", 70.0, None)


def test_what_a_card_does_not_tell_is_unknown_and_never_0(tmp_path: Path) -> None:
    (card,) = SimulatedDevices("1xRadeonVII", tmp_path).found()
    told = status_of(card, Reading("resetting"))
    figures = told.vram_used_bytes, told.temperature_c, told.power_w, told.cap_w
    assert (told.state, told.sensor, figures) == ("resetting", "", (None,) * 4)


def test_a_worker_of_before_the_cards_is_read_and_its_cards_are_unknown() -> None:
    """And an idle one of now writes no more than it knows into each beat."""
    old = '{"name":"gpu0@a","incarnation":"i","host":"a","pid":1,"engine":"e","model":"m","slots":4}'
    card = WorkerCard.model_validate_json(old)
    assert (card.cards, card.throttle, card.kv_use, card.tokens_per_s) == ((), "", None, None)
    assert as_json(card) == old
    told = as_json(card.model_copy(update={"cards": (CardStatus(name="Radeon VII"),)}))
    assert told.endswith('"cards":[{"name":"Radeon VII"}]}')


class TestPace:
    def test_it_is_what_was_written_in_the_last_ten_seconds(self) -> None:
        pace = Pace()
        for second in range(31):
            pace.see(second * 50 if second <= 20 else 1000, now_s=float(second))
        assert pace.tokens_per_s == 0.0
        pace.see(1100, now_s=31.0)
        assert pace.tokens_per_s == 10.0

    def test_an_engine_that_does_not_count_has_no_pace(self) -> None:
        pace = Pace()
        for second in range(5):
            pace.see(0, now_s=float(second))
        assert pace.tokens_per_s is None

    def test_after_its_start_it_counts_anew(self) -> None:
        pace = Pace()
        for moment, tokens in ((0.0, 500), (1.0, 600), (2.0, 10)):
            pace.see(tokens, now_s=moment)
        assert pace.tokens_per_s is None
        pace.see(40, now_s=3.0)
        assert pace.tokens_per_s == 30.0
