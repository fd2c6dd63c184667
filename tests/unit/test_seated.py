"""An engine on a card that goes and comes back, and what simulated cards are told of their load."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.fakes.cards import radeon_vii, write_tree
from tests.workers import eventually
from viiwork.devices import Device, Reading, State, Temperature, open_devices
from viiwork.devices.simulated import FOLDER, SimulatedDevices
from viiwork.devices.thermal import HOLDS_S
from viiwork.errors import EngineDied, EngineFault, Unavailable
from viiwork.settings import load_settings
from viiwork.work import Answer, ChatInput, EngineWork, Message
from viiwork_workers.engines import seated
from viiwork_workers.engines.base import PLAIN, Manner
from viiwork_workers.engines.choose import make_engine
from viiwork_workers.engines.noop import NoopEngine
from viiwork_workers.engines.seat import RENEW_S, STALE_S, CardSeat, Readings
from viiwork_workers.engines.seated import SeatedEngine

LOOK_S = 0.005
AT_ONCE, LONG = (
    ChatInput(messages=(Message(role="user", content=text),), max_output_tokens=1) for text in ("x", "pause 60 s")
)


class Bench:
    """A card that is as it is told to be, and remembers what it was told."""

    def __init__(self) -> None:
        self.state: State = "ok"
        self.told: list[tuple[float, int]] = []
        self.found: Readings = ()

    def look(self) -> State:
        return self.state

    def tell(self, load: float, *, vram_used_bytes: int) -> None:
        self.told.append((load, vram_used_bytes))

    def readings(self) -> Readings:
        return self.found


class Makes:
    """Engines, of which some fail to come up."""

    def __init__(self) -> None:
        self.made: list[NoopEngine] = []
        self.fail = 0
        self.closed = 0

    def __call__(self) -> NoopEngine:
        makes = self

        class Made(NoopEngine):
            async def load(self) -> None:
                if makes.fail:
                    makes.fail -= 1
                    raise EngineFault("it does not come up.")

            async def run(self, work: EngineWork, manner: Manner = PLAIN) -> Answer:
                if work.model_dump()["messages"][0]["content"] == "slow":
                    raise TimeoutError
                return await super().run(work, manner)

            async def close(self) -> None:
                makes.closed += 1

        self.made.append(Made(model="m", slots=4))
        return self.made[-1]


@pytest.fixture
def bench() -> Bench:
    return Bench()


@pytest.fixture
def makes() -> Makes:
    return Makes()


@pytest.fixture
async def engine(bench: Bench, makes: Makes) -> AsyncIterator[SeatedEngine]:
    engine = SeatedEngine(makes, bench, vram_bytes=lambda kv_use: 7 + int(kv_use), look_s=LOOK_S)
    yield engine
    await engine.close()


async def waits(engine: SeatedEngine) -> bool:
    signals = engine.signals()
    return signals is not None and not signals.ready


async def runs(engine: SeatedEngine) -> bool:
    return not await waits(engine)


async def test_the_first_job_of_an_engine_that_rests_has_its_card_looked_at(
    bench: Bench, makes: Makes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The look that it would have had otherwise is far away here."""
    monkeypatch.setattr(seated, "RESTING", 1000)
    engine = SeatedEngine(makes, bench, look_s=1.0)
    await engine.load()
    job = asyncio.create_task(engine.run(LONG))

    async def seen() -> bool:
        return any(load > 0 for load, _ in bench.told)

    await eventually(seen, what="the card is looked at with the job on it")
    job.cancel()
    await engine.close()


async def test_a_card_that_is_not_cool_is_looked_at_as_often_though_nothing_runs(
    bench: Bench, engine: SeatedEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(seated, "RESTING", 1_000_000)
    warm = Reading(state="ok", temperatures=(Temperature("junction", 97.0, 105.0),))
    bench.found = ((Device("x", "amd", 0, "x", "gfx906", 1), warm),)
    await engine.load()

    async def seen() -> bool:
        return len(bench.told) > 5

    await eventually(seen, what="it is looked at again and again")


@pytest.mark.parametrize("trouble", ["gone", "resetting"])
async def test_what_is_on_a_card_that_goes_comes_back_as_from_an_engine_that_died(
    bench: Bench, makes: Makes, engine: SeatedEngine, trouble: State
) -> None:
    """And once the card is back another engine takes the next."""
    await engine.load()
    job = asyncio.create_task(engine.run(LONG))
    await asyncio.sleep(0)
    bench.state = trouble
    with pytest.raises(EngineDied, match="card was lost"):
        await job
    signals = engine.signals()
    assert signals is not None
    assert (signals.ready, signals.state) == (False, f"waiting for its card, which is {trouble}")
    with pytest.raises(Unavailable, match=trouble):
        await engine.run(AT_ONCE)
    bench.state = "ok"
    await engine.until_ready()
    assert (await engine.run(AT_ONCE)).text == "no-op"
    assert (len(makes.made), makes.closed) == (3, 1)


async def test_a_worker_that_starts_without_its_card_waits_for_it(bench: Bench, engine: SeatedEngine) -> None:
    bench.state = "gone"
    await engine.load()
    assert await waits(engine)
    bench.state = "ok"
    await eventually(lambda: runs(engine), what="the engine runs")
    assert (await engine.run(AT_ONCE)).text == "no-op"


async def test_an_engine_that_does_not_start_on_a_card_that_is_back_is_tried_again(
    bench: Bench, makes: Makes, engine: SeatedEngine
) -> None:
    await engine.load()
    bench.state = "gone"
    await eventually(lambda: waits(engine), what="the card is missed")
    bench.state, makes.fail = "ok", 1
    await eventually(lambda: runs(engine), what="the engine runs")
    assert len(makes.made) == 4


async def test_a_first_start_that_fails_is_told(makes: Makes, engine: SeatedEngine) -> None:
    """The worker ends then, and is started again by whoever keeps it."""
    makes.fail = 1
    with pytest.raises(EngineFault, match="does not come up"):
        await engine.load()


async def test_an_engine_that_is_slow_by_itself_is_no_lost_card(engine: SeatedEngine) -> None:
    await engine.load()
    with pytest.raises(TimeoutError):
        await engine.run(ChatInput(messages=(Message(role="user", content="slow"),), max_output_tokens=1))


async def test_a_job_that_is_cancelled_on_the_card_is_cancelled(engine: SeatedEngine) -> None:
    """And its slot is free: the card is told so."""
    await engine.load()
    job = asyncio.create_task(engine.run(LONG))
    await asyncio.sleep(0)
    job.cancel()
    with pytest.raises(asyncio.CancelledError):
        await job


async def test_the_card_is_told_how_many_of_its_slots_are_in_use(bench: Bench, engine: SeatedEngine) -> None:
    await engine.load()
    jobs = [asyncio.create_task(engine.run(LONG)) for _ in range(3)]

    async def told() -> bool:
        return (0.75, 7) in bench.told

    await eventually(told, what="three of four slots")
    for job in jobs:
        job.cancel()
    await asyncio.gather(*jobs, return_exceptions=True)


class TestSeat:
    def test_a_simulated_card_warms_up_by_what_its_worker_tells(self, tmp_path: Path) -> None:
        devices = SimulatedDevices("2xRadeonVII", tmp_path)
        seat = CardSeat(devices, (1,))
        assert seat.look() == "ok"
        seat.tell(1.0, vram_used_bytes=1 << 30)
        idle, busy = (devices.read(device) for device in devices.found())
        assert (busy.busy_percent, busy.vram_used_bytes) == (100.0, 1 << 30)
        assert (busy.power_w or 0) > (idle.power_w or 0) + 100

    def test_one_that_was_never_there_is_gone_until_it_is(self, tmp_path: Path) -> None:
        """And then it is known by who it is."""
        (tmp_path / FOLDER).mkdir()
        mark = tmp_path / FOLDER / "gpu0.gone"
        mark.touch()
        seat = CardSeat(open_devices("simulated:2xRadeonVII", state_dir=tmp_path), (0,))
        assert seat.look() == "gone"
        mark.unlink()
        assert seat.look() == "ok"
        mark.touch()
        assert seat.look() == "gone"

    def test_a_card_is_known_by_who_it_is_whatever_number_it_has_now(self, tmp_path: Path) -> None:
        """Card 1 of three is number 0 once the first is gone; the third has moved to its number."""
        cards = [radeon_vii(0), radeon_vii(1), radeon_vii(2)]
        before = open_devices("auto", state_dir=tmp_path, root=write_tree(tmp_path / "before", cards))
        (one,) = CardSeat(before, (1,)).cards()
        after = open_devices("auto", state_dir=tmp_path, root=write_tree(tmp_path / "after", cards[1:]))
        (again,) = CardSeat(after, (1,), ids=(one.id,)).cards()
        assert (one.index, again.index, again.uuid) == (1, 0, radeon_vii(1).uuid)
        assert CardSeat(after, (0,), ids=(radeon_vii(0).uuid,)).look() == "gone"

    def test_where_a_container_shows_one_card_that_is_it(self, tmp_path: Path) -> None:
        shown = write_tree(tmp_path, [radeon_vii(0), radeon_vii(1)], closed=[radeon_vii(0)])
        (card,) = CardSeat(open_devices("auto", state_dir=tmp_path, root=shown), (1,)).cards()
        assert card.uuid == radeon_vii(1).uuid

    def test_of_several_cards_the_worst_counts(self, tmp_path: Path) -> None:
        devices = SimulatedDevices("3xRadeonVII", tmp_path)
        seat = CardSeat(devices, (0, 1))
        cards = devices.found()
        assert seat.look() == "ok"
        devices.set_state(cards[0], "resetting")
        assert seat.look() == "resetting"
        devices.set_state(cards[1], "gone")
        assert seat.look() == "gone"

    def test_it_tells_how_each_card_was_at_the_last_look(self, tmp_path: Path) -> None:
        """Also of a group of which one is gone: the others are still warm."""
        devices = SimulatedDevices("2xRadeonVII", tmp_path)
        seat = CardSeat(devices, (0, 1))
        assert seat.readings() == ()
        seat.look()
        cards = devices.found()
        assert [card.index for card, _ in seat.readings()] == [0, 1]
        assert all(reading.power_w for _, reading in seat.readings())
        devices.set_state(cards[0], "gone")
        for _ in range(2):
            assert seat.look() == "gone"
            lost, other = (reading for _, reading in seat.readings())
            assert (lost.state, lost.power_w, other.state) == ("gone", None, "ok")
            assert other.power_w

    def test_figures_of_a_look_long_ago_are_not_known_any_more(self, tmp_path: Path) -> None:
        now_s = [100.0]
        seat = CardSeat(SimulatedDevices("1xRadeonVII", tmp_path), (0,), clock=lambda: now_s[0])
        seat.look()
        now_s[0] += STALE_S + 1
        ((_, reading),) = seat.readings()
        assert (reading.state, reading.power_w, reading.temperatures) == ("ok", None, ())

    def test_the_same_load_is_told_again_only_after_a_while(self, tmp_path: Path) -> None:
        """And before it would be over."""
        now_s = [100.0]
        devices = SimulatedDevices("1xRadeonVII", tmp_path)
        seat = CardSeat(devices, (0,), clock=lambda: now_s[0])
        seat.look()
        record = tmp_path / FOLDER / "gpu0.json"
        written = []
        for load in (0.5, 0.5, 0.5, 0.75):
            seat.tell(load, vram_used_bytes=1)
            written.append(record.read_text())
            now_s[0] += RENEW_S / 2
        assert written[0] == written[1]
        assert len(set(written[1:])) == 3
        assert RENEW_S < HOLDS_S / 2

    def test_where_nothing_can_be_written_it_is_said_once(
        self, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        seat = CardSeat(SimulatedDevices("1xRadeonVII", tmp_path), (0,))
        assert seat.look() == "ok"
        (tmp_path / FOLDER).write_text("in the way")
        seat.tell(1.0, vram_used_bytes=0)
        seat.tell(1.0, vram_used_bytes=0)
        assert [record.levelname for record in caplog.records] == ["WARNING"]


@pytest.mark.parametrize(
    ("spec", "worker", "seated"),
    [("", "gpu0", False), ("none", "cpu0", False), ("simulated:1xRadeonVII", "gpu0", True)],
)
def test_a_card_is_watched_where_the_settings_name_cards(
    tmp_path: Path, spec: str, worker: str, *, seated: bool
) -> None:
    given = {"fleet": {"state_dir": tmp_path}, "devices": {"spec": spec}, "engine": {"kind": "simulated"}}
    assert isinstance(make_engine(load_settings(given), card=worker), SeatedEngine) == seated
