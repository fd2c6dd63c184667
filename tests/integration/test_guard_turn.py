"""A guard whose host has a power room: an engine that served and fell waits for its turn to load again."""

from __future__ import annotations

import os
import signal
import time

from tests.guarded import Guarded, stage, until
from viiwork.powerfile import Order, PowerFile, write_power
from viiwork.roster import AWAITS_AGAIN
from viiwork_workers.engines.guard.followed import FollowedKeeper
from viiwork_workers.engines.server.standing import state_of


def tell(guarded: Guarded, *, let_s: float) -> None:
    """As the power room does in each period."""
    order = Order(let_s=let_s)
    told = PowerFile(at_s=time.monotonic(), believed_s=60.0, deals=True, host_watts=900.0, workers={"gpu0": order})
    write_power(guarded.files.state_dir, told)


async def kill(guarded: Guarded, keeper: FollowedKeeper, *, life: int) -> None:
    """SIGKILL, once it is ready."""
    ready = await stage(keeper, "ready", life=life)
    os.kill(ready.pid, signal.SIGKILL)


async def test_an_engine_that_fell_is_started_again_when_it_is_let(guarded: Guarded) -> None:
    """Its first start was its worker's to wait for. While it waits none of its processes runs."""
    guarded.files.prepare()
    tell(guarded, let_s=time.monotonic())
    keeper = await guarded.keeper()
    await kill(guarded, keeper, life=1)
    await until(lambda: state_of(keeper.phase) == AWAITS_AGAIN, what="it says that it waits")
    assert (keeper.phase.stage, keeper.phase.life) == ("restarting", 1)
    assert keeper.phase.why == "the engine's process was killed by signal 9"
    assert guarded.people() == []
    tell(guarded, let_s=time.monotonic())
    assert not (await stage(keeper, "ready", life=2)).awaits_turn


async def test_without_a_power_room_it_is_started_at_once(guarded: Guarded) -> None:
    keeper = await guarded.keeper()
    await kill(guarded, keeper, life=1)
    assert (await stage(keeper, "ready", life=2)).restarts == 1
