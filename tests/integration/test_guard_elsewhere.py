"""A server that somebody else runs: looked after as an engine of our own is, but never started and never ended."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.guarded import SCRIPT, Guarded, stage
from tests.ports import kept_port
from viiwork.fleet.leftovers import longest_end_s
from viiwork.guardrecord import read_records
from viiwork.recipes import Launch
from viiwork.statedir import StateDir
from viiwork_workers.engines.server.standing import state_of

KEY = "a key of theirs"


class Elsewhere:
    """The small engine, run by hand."""

    def __init__(self, root: Path, port: int) -> None:
        self.port = port
        self.plan_file = root / "theirs.json"
        self.key_file = root / "their.key"
        self.key_file.write_text(KEY + "\n", encoding="utf-8")
        self.process: subprocess.Popen[bytes] | None = None
        self.plan()

    def plan(self, **what: object) -> None:
        fresh = self.plan_file.with_suffix(".new")
        fresh.write_text(json.dumps(what), encoding="utf-8")
        fresh.replace(self.plan_file)

    def start(self) -> None:
        words = [sys.executable, "-I", "-S", str(SCRIPT), str(self.port), KEY, str(self.plan_file)]
        self.process = subprocess.Popen(words)

    def stop(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    def launch(self, guarded: Guarded, **changes: object) -> Launch:
        told = {"argv": (), "url": f"http://127.0.0.1:{self.port}", "key_file": str(self.key_file)}
        return guarded.launch(**(told | changes))


@pytest.fixture
def theirs(tmp_path: Path) -> Iterator[Elsewhere]:
    with kept_port() as port:
        made = Elsewhere(tmp_path, port)
        yield made
        made.stop()


async def test_it_is_looked_for_until_it_is_there_and_again_when_it_has_gone(
    guarded: Guarded, theirs: Elsewhere
) -> None:
    """More often than an engine of our own may die."""
    keeper = await guarded.keeper(theirs.launch(guarded))
    away = await stage(keeper, "restarting", "failed", life=8)
    assert away.stage == "restarting"
    assert away.why == f"the server at http://127.0.0.1:{theirs.port} does not answer (connection refused)"
    assert away.away
    assert away.advice
    theirs.start()
    ready = await stage(keeper, "ready")
    assert (ready.url, ready.key, ready.pid, ready.away) == (f"http://127.0.0.1:{theirs.port}", KEY, 0, False)
    theirs.stop()
    assert (await stage(keeper, "restarting")).life == ready.life
    theirs.start()
    assert (await stage(keeper, "ready")).life > ready.life


async def test_it_is_not_ended_with_its_guard(guarded: Guarded, theirs: Elsewhere) -> None:
    theirs.start()
    keeper = await guarded.keeper(theirs.launch(guarded))
    await stage(keeper, "ready")
    await keeper.close()
    assert theirs.process is not None
    assert theirs.process.poll() is None


async def test_nobody_waits_for_its_end_when_the_fleet_stops(guarded: Guarded, theirs: Elsewhere) -> None:
    """`viiwork down` said that the engines might take 70 s to end, and there was none to end."""
    theirs.start()
    keeper = await guarded.keeper(theirs.launch(guarded))
    await stage(keeper, "ready")
    assert read_records(guarded.files.state_dir)
    assert longest_end_s(StateDir(guarded.files.state_dir)) == 0


async def test_a_server_that_hangs_is_looked_at_again_and_left_alone(guarded: Guarded, theirs: Elsewhere) -> None:
    theirs.start()
    keeper = await guarded.keeper(theirs.launch(guarded, hang_s=1.0))
    await stage(keeper, "ready")
    assert theirs.process is not None
    os.kill(theirs.process.pid, signal.SIGSTOP)
    assert "did not answer" in (await stage(keeper, "restarting")).why
    os.kill(theirs.process.pid, signal.SIGCONT)
    assert (await stage(keeper, "ready")).life > 1


async def test_garbage_from_elsewhere_is_put_away_too(guarded: Guarded, theirs: Elsewhere) -> None:
    theirs.plan(answer="?" * 30)
    theirs.start()
    keeper = await guarded.keeper(theirs.launch(guarded))
    assert "makes no sense" in (await stage(keeper, "failed")).why
    theirs.plan()
    keeper.again()
    await stage(keeper, "ready")


async def test_one_that_lists_other_models_is_not_used_until_it_has_ours(guarded: Guarded, theirs: Elsewhere) -> None:
    """It was ready under the name of a model that its server did not know. It is looked at again, more often than an
    engine may die; and the name that is asked for is the one that it lists.
    """
    theirs.plan(models=["other", "models/Small-er.gguf"])
    theirs.start()
    keeper = await guarded.keeper(theirs.launch(guarded, alias="small", health="/v1/models"))
    phase = await stage(keeper, "failed", "restarting", life=8)
    assert (phase.stage, phase.unserved, phase.away, phase.fault_of) == ("restarting", True, False, "engine")
    told = f"http://127.0.0.1:{theirs.port} does not serve 'small'. It serves other, models/Small-er.gguf"
    assert phase.why == told
    assert state_of(phase) == f"waiting for its model: {told}"
    assert "--model" in phase.advice
    theirs.plan(models=["other", "models/Small.gguf"])
    ready = await stage(keeper, "ready")
    assert (ready.model, ready.unserved) == ("models/Small.gguf", False)
    theirs.plan(models=["other"])
    assert (await stage(keeper, "restarting")).unserved


async def test_a_wrong_key_ends_the_tries_at_once(guarded: Guarded, theirs: Elsewhere) -> None:
    """`up` waited for ever, without a word of why; once it was put right a person says so."""
    theirs.key_file.write_text("wrong", encoding="utf-8")
    theirs.start()
    keeper = await guarded.keeper(theirs.launch(guarded))
    phase = await stage(keeper, "failed")
    assert "it refuses the key" in phase.why
    assert "key_file" in phase.advice
    theirs.key_file.write_text(KEY, encoding="utf-8")
    keeper.again()
    await stage(keeper, "ready")


async def test_a_key_file_that_cannot_be_read_is_said(guarded: Guarded, theirs: Elsewhere) -> None:
    theirs.key_file.unlink()
    keeper = await guarded.keeper(theirs.launch(guarded))
    assert (await stage(keeper, "restarting")).why == "the file with the server's key cannot be read"
