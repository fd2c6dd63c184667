"""Two fleets of one user on one card: the second is told of the first."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from viiwork.fleet.neighbours import shared_cards, users
from viiwork.guardrecord import ENGINE_OF
from viiwork.settings import load_settings

OURS = Path("/fleets/ours")


def environ(mark: str, **more: str) -> tuple[tuple[int, str], dict[str, str]]:
    return (1, "x"), {ENGINE_OF: mark, **more}


def test_cards_are_taken_by_engines_of_other_fleets_that_were_shown_one() -> None:
    running = [
        environ("/fleets/ours:gpu0", ROCR_VISIBLE_DEVICES="0"),
        environ("/fleets/other:gpu1+gpu2", ROCR_VISIBLE_DEVICES="1,2"),
        environ("/fleets/third:gpu3"),
        environ("/fleets/third:cpu0", ROCR_VISIBLE_DEVICES=""),
        ((2, "y"), {"ROCR_VISIBLE_DEVICES": "4"}),
    ]
    assert users(running, but=OURS) == {1: "/fleets/other", 2: "/fleets/other"}


def test_a_fleet_is_told_whose_engine_runs_on_a_card_that_it_wants(tmp_path: Path) -> None:
    """By a real process, and only where the engine wants a card."""
    other = tmp_path / "other"
    argv = [sys.executable, "-S", "-c", "import sys; print(flush=True); sys.stdin.read()"]
    env = {ENGINE_OF: f"{other}:gpu0", "CUDA_VISIBLE_DEVICES": "0"}
    with subprocess.Popen(argv, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        told = {
            (kind, gpus): shared_cards(load_settings({"engine": {"kind": kind}, "workers": {"gpus": gpus}}), tmp_path)
            for kind, gpus in (("vllm", 1), ("vllm", 0), ("url", 1), ("simulated", 1))
        }
        process.communicate()
    mine = [text for text in told.pop(("vllm", 1)) if str(other) in text]
    assert len(mine) == 1
    assert mine[0].startswith("card 0 already has an engine of the fleet in ")
    assert list(told.values()) == [[], [], []]
