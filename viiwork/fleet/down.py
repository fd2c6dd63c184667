"""`viiwork down`: stop the supervisor, or clean up after one that was killed."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from contextlib import suppress

from viiwork.errors import StartupError
from viiwork.fleet.leftcaps import give_back
from viiwork.fleet.leftovers import Leftovers, longest_end_s
from viiwork.processes import identity
from viiwork.settings import Settings
from viiwork.statedir import FleetLock, StateDir
from viiwork.store import embedded

POLL_S = 0.1
SLACK_S = 60.0
"""For everything that ends after the workers have drained."""
ORPHAN_GRACE_S = 5.0
"""Of workers whose fleet is gone: what they have in hand runs again later. Engines get what they need."""


def take_down(settings: Settings, *, now: bool = False, tell: Callable[[str], None]) -> bool:
    """Stop the fleet of these settings; False when nothing ran.

    A live supervisor stops it in order; `now` hurries that. Raises StartupError when it does not end.
    """
    state = StateDir(settings.state_dir)
    if not state.root.is_dir():
        return False
    lock = FleetLock(state, fleet=settings.fleet.name)
    was_running = not lock.take()
    if was_running:
        _stop_supervisor(lock, settings, now=now, tell=tell)
        with lock:
            return _sweep(state, tell) or was_running
    try:
        return _sweep(state, tell)
    finally:
        lock.release()


def _stop_supervisor(lock: FleetLock, settings: Settings, *, now: bool, tell: Callable[[str], None]) -> None:
    pid = lock.holder()
    who = identity(pid)
    if not pid or who is None:
        raise StartupError("the fleet is running, but its supervisor cannot be told from its lock file.")
    engines_s = longest_end_s(StateDir(settings.state_dir))
    patiently = f"; its engines may take up to {engines_s:.0f} s to end" if engines_s else ""
    tell(f"stopping the fleet (pid {pid}){patiently}")
    for _ in range(2 if now else 1):
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGTERM)
        time.sleep(POLL_S)  # two signals at once would be seen as one
    patience_s = 2 * (settings.queue.drain_grace_s + 10 + engines_s) + SLACK_S
    deadline = time.monotonic() + patience_s
    while identity(pid) == who:
        if time.monotonic() > deadline:
            raise StartupError(f"the fleet (pid {pid}) did not stop in {patience_s:.0f} s.", hint="Try `down --now`.")
        if now:  # a supervisor that was busy has seen the first two as one
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)
        time.sleep(POLL_S)


def _sweep(state: StateDir, tell: Callable[[str], None]) -> bool:
    """What a killed supervisor left: workers, helpers, engines, the server; False when there was nothing."""
    leftovers = Leftovers(state, tell=tell)
    if there := len(leftovers.present()):
        tell(f"ending {there} processes that an earlier run left behind")
    ended = leftovers.end(grace_s=ORPHAN_GRACE_S)
    give_back(state.root, tell=tell)
    return embedded.end_server(state) or bool(ended)
