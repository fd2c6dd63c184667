"""A hundred restarts in a row: nothing is left of any of them."""

from __future__ import annotations

import os
import signal
from urllib.parse import urlsplit

import psutil
import pytest

from tests.guarded import Guarded, stage
from viiwork_workers.engines.guard import link as guard_link

RESTARTS = 100
WARM = 20
"""After so many lives the guard has imported and cached what it ever will."""
SLACK = 8
GROWTH_BYTES = 3 * 1024 * 1024


@pytest.mark.slow
@pytest.mark.timeout(600)
async def test_a_hundred_restarts_leave_no_process_no_handle_no_port_and_no_memory(
    guarded: Guarded, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed each time, with a helper that outlives its parent; none of these deaths counts as a quick one."""
    monkeypatch.setattr(guard_link, "GUARD", (*guard_link.GUARD, "--pace", "0"))
    guarded.plan(helper=True)
    keeper = await guarded.keeper()
    guard = psutil.Process(guarded.guard_pid())
    ports, warm = [], (0, 0)
    for life in range(1, RESTARTS + 1):
        ready = await stage(keeper, "ready", "failed", life=life)
        assert ready.stage == "ready", ready.why
        ports.append(urlsplit(ready.url).port)
        if life == WARM:
            warm = guard.num_fds(), guard.memory_info().rss
        os.kill(ready.pid, signal.SIGKILL)
        await keeper.changed(ready)
    last = await stage(keeper, "ready", life=RESTARTS + 1)
    assert last.restarts == RESTARTS
    assert len(guarded.people()) == 2
    assert guard.num_fds() < warm[0] + SLACK  # a leak would have taken one a life
    assert guard.memory_info().rss < warm[1] + GROWTH_BYTES
    assert len(guard.children(recursive=True)) == 2
    assert len({*ports}) > WARM
    assert listened(guarded) == {urlsplit(last.url).port}


def listened(guarded: Guarded) -> set[int]:
    """The ports of the guard and its engine. Others may have been given a former one by now."""
    lines = [line for pid in guarded.everyone() for line in psutil.Process(pid).net_connections("tcp")]
    return {line.laddr.port for line in lines if line.status == psutil.CONN_LISTEN}
