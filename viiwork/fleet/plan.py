"""Which processes a fleet consists of. Pure but for the recipe's file: settings in, process specs out."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from viiwork import apikeys
from viiwork.fleet.berths import Berth, unplanned, worker_env
from viiwork.processes import SUPERVISED_BY
from viiwork.recipes.check import BUILT_IN
from viiwork.recipes.launch import CLEARING_S
from viiwork.recipes.load import recipe_for
from viiwork.settings import LISTS, Settings, variable_of, variables

TAG = SUPERVISED_BY
FLOWER_USER = "viiwork"


class Role(StrEnum):
    """What a process is for."""

    ENGINE = "engine"
    READER = "reader"
    API = "api"
    FLOWER = "flower"


STOP_ORDER = (Role.ENGINE, Role.READER, Role.API, Role.FLOWER)
"""Readers after engines, since they merge the last answers; the API after both, since people still fetch results."""


@dataclass(frozen=True, slots=True)
class ProcessSpec:
    """One process to keep running. `env` is complete; secrets stand there and never in `argv`."""

    name: str
    role: Role
    argv: tuple[str, ...]
    env: Mapping[str, str] = field(default_factory=dict, repr=False)
    stop_grace_s: float = 10.0
    """From SIGTERM to SIGKILL."""
    drain_s: float = 0.0
    """How long it may finish what it has in hand when another follows."""
    listener: int | None = None
    """The number of an open socket that it is handed; it tells then when it answers there."""
    address: str = ""


def plan(
    settings: Settings,
    *,
    environ: Mapping[str, str],
    flower_password: str = "",
    end_s: float = 0.0,
    berths: Sequence[Berth] | None = None,
    listener: int | None = None,
) -> tuple[ProcessSpec, ...]:
    """The processes of a fleet whose ports are settled (none is 0).

    `end_s` is `engine_end_s(settings)`; without `berths` each card has a worker, and all are alike. `listener` is the
    API's socket; without it there is one process, which opens its own.
    """
    base = child_env(settings, environ=environ)
    specs = [] if settings.joined else _api(settings, base, listener)
    kept = unplanned(settings, engine_names(settings), {}) if berths is None else berths
    specs += [engine_worker(settings, berth, environ=environ, end_s=end_s) for berth in kept]
    specs += [_worker(settings, base, f"reader{n}", Role.READER) for n in range(settings.workers.readers)]
    if settings.flower.enabled and not settings.joined:
        specs.append(_flower(settings, base, flower_password))
    return tuple(specs)


def engine_names(settings: Settings) -> tuple[str, ...]:
    """`gpu0`, `gpu1`, … one a card; without cards `cpu0`, …"""
    gpus = settings.workers.gpus
    return tuple(f"gpu{n}" for n in range(gpus)) if gpus else tuple(f"cpu{n}" for n in range(settings.workers.cpus))


def worker_argv(name: str) -> tuple[str, ...]:
    """How a Celery worker is started: by name, since the library never imports the workers."""
    return (sys.executable, "-m", "viiwork_workers", name)


def engine_end_s(settings: Settings) -> float:
    """How long a worker may take to end its engine after its last job; 0 for an engine in its own process.

    Raises SettingsError for a recipe that cannot be read.
    """
    kind = settings.engine.kind
    graces = [recipe_for(kind, name).stop_grace_s for name in engine_names(settings)[:1] if kind not in BUILT_IN]
    return max((grace_s + CLEARING_S for grace_s in graces), default=0.0)


def engine_worker(settings: Settings, berth: Berth, *, environ: Mapping[str, str], end_s: float = 0.0) -> ProcessSpec:
    """The worker of one berth: the fleet's settings, and among them its own model."""
    own = settings.model_copy(update={"engine": berth.engine, "serve": ()})
    base = {**child_env(own, environ=environ), **worker_env(berth)}
    return _worker(settings, base, berth.name, Role.ENGINE, end_s=end_s)


def _worker(settings: Settings, base: Mapping[str, str], name: str, role: Role, *, end_s: float = 0.0) -> ProcessSpec:
    # One thread a job: a matrix library that takes every core made two slots slower than one (98 to 62 documents/s).
    threads = {"OPENBLAS_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}
    env = {**threads, **base, "VIIWORK_WORKER_NAME": name, "VIIWORK_WORKER_ROLE": role.value}
    return ProcessSpec(name, role, worker_argv(name), env, stop_grace_s=settings.queue.drain_grace_s + 10 + end_s)


def _api(settings: Settings, base: Mapping[str, str], listener: int | None) -> list[ProcessSpec]:
    names = ["api", *(f"api{n}" for n in range(1, settings.api.processes if listener is not None else 1))]
    argv, url, drain_s = (sys.executable, "-m", "viiwork.api"), api_url(settings), settings.api.drain_s
    return [ProcessSpec(name, Role.API, argv, base, address=url, drain_s=drain_s, listener=listener) for name in names]


def _flower(settings: Settings, base: Mapping[str, str], password: str) -> ProcessSpec:
    own = {} if settings.flower.login_file else {"FLOWER_BASIC_AUTH": f"{FLOWER_USER}:{password}"}
    env = {**base, **own}
    argv = (sys.executable, "-m", "viiwork_workers.flower")
    return ProcessSpec("flower", Role.FLOWER, argv, env, stop_grace_s=5.0, address=flower_url(settings))


def api_url(settings: Settings) -> str:
    """Where a program on this machine reaches the API; empty on a computer that joined."""
    return "" if settings.joined else _url(settings.api.host, settings.api.port)


def flower_url(settings: Settings) -> str:
    """Where a browser on this machine finds Flower; empty when it is off, or on the head."""
    here = settings.flower.enabled and not settings.joined
    return _url(settings.flower.host, settings.flower.port) if here else ""


def _url(host: str, port: int) -> str:
    here = {"0.0.0.0": "127.0.0.1", "::": "[::1]", "": "127.0.0.1"}  # noqa: S104 - read here, not bound
    return f"http://{here.get(host, f'[{host}]' if ':' in host else host)}:{port}"


def child_env(settings: Settings, *, environ: Mapping[str, str]) -> dict[str, str]:
    """The environment of every child: ours, the settings as `up` saw them, and the tag."""
    state_dir = os.path.abspath(settings.state_dir)  # noqa: PTH100 - resolve() would follow links
    return {**besides_settings(environ), **settings_env(settings), "PYTHONUNBUFFERED": "1", TAG: state_dir}


def besides_settings(environ: Mapping[str, str]) -> dict[str, str]:
    """An environment without our settings: one that `up` was told to leave out must not come back by a variable.

    Nor with the key of whoever typed `up`: no engine has any use for it.
    """
    ours = frozenset({*variables(), apikeys.VARIABLE})
    return {name: value for name, value in environ.items() if name.upper() not in ours}


def settings_env(settings: Settings) -> dict[str, str]:
    """The settings as `VIIWORK_*` variables, so that flags reach the children.

    The settings file is shut out: editing it must not change half a fleet when a worker is restarted.
    """
    env = {"VIIWORK_CONFIG": os.devnull}
    for section, fields in settings.model_dump(mode="json", exclude=set(LISTS)).items():
        for name, value in fields.items():
            if value is not None:
                env[f"VIIWORK_{section}_{name}".upper()] = _as_text(value)
    for name, entries in settings.model_dump(mode="json", include=set(LISTS)).items():
        env[variable_of(name)] = json.dumps(entries)
    env["VIIWORK_FLEET_STATE_DIR"] = os.path.abspath(settings.state_dir)  # noqa: PTH100 - as above
    return env


def _as_text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)
