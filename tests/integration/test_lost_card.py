"""A card that is lost under an engine of its own process: the guard ends it, and another is started once it is back."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.integration.test_own_recipe import EXAMPLE, ROOT, SERVER
from tests.workers import eventually
from viiwork.devices.simulated import SimulatedDevices
from viiwork.errors import Unavailable
from viiwork.processes import tagged
from viiwork.settings import DevicesSection, EngineSection, FleetSection, Settings
from viiwork.work import ChatInput, Message
from viiwork_workers.engines.base import Engine
from viiwork_workers.engines.choose import make_engine
from viiwork_workers.engines.guard.files import ENGINE_OF, GuardFiles

QUESTION = ChatInput(messages=(Message(role="user", content="What is a lease?"),))


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """A recipe that asks for no card of a maker, on a simulated one."""
    found = EXAMPLE.search((ROOT / "docs/engines.md").read_text(encoding="utf-8"))
    assert found
    lines = (line for line in found[1].splitlines() if not line.startswith("pin "))
    (tmp_path / "my-engine.toml").write_text("\n".join(lines))
    (tmp_path / "my_server.py").write_text(SERVER)
    engine = EngineSection(kind=str(tmp_path / "my-engine.toml"))
    devices = DevicesSection(spec="simulated:1xRadeonVII")
    return Settings(engine=engine, devices=devices, fleet=FleetSection(state_dir=tmp_path / "state"))


async def waits(engine: Engine) -> bool:
    signals = engine.signals()
    return signals is not None and signals.state == "waiting for its card, which is gone"


async def test_an_engine_ends_with_its_card_and_another_serves_when_that_is_back(settings: Settings) -> None:
    """No process of the first is left while the card is away, and none of the second in the end."""
    mark = GuardFiles.of(settings.state_dir, "gpu0").mark
    devices = SimulatedDevices("1xRadeonVII", settings.state_dir)
    (card,) = devices.found()
    engine = make_engine(settings, card="gpu0")
    await engine.load()
    try:
        await engine.until_ready()
        assert (await engine.run(QUESTION)).text
        first = {person[0] for person in tagged(ENGINE_OF, mark)}
        devices.set_state(card, "gone")
        await eventually(lambda: waits(engine), what="the card is missed")
        with pytest.raises(Unavailable, match="waiting for its card"):
            await engine.run(QUESTION)

        async def ended() -> bool:
            return tagged(ENGINE_OF, mark) == []

        await eventually(ended, what="its engine has ended")
        devices.set_state(card, "ok")
        await engine.until_ready()
        assert (await engine.run(QUESTION)).text
        assert first.isdisjoint({person[0] for person in tagged(ENGINE_OF, mark)})
    finally:
        await engine.close()
    assert tagged(ENGINE_OF, mark) == []
