"""From a recipe and the settings to the one engine that a worker starts."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from viiwork.containers.container import Container
from viiwork.devices import Device
from viiwork.devices.host import ROOT, Host
from viiwork.recipes.cards import numbers, pin_value, pins, seen_cards, used_file_of, vram_used_file
from viiwork.recipes.containing import MEMORY_SHARE, Outside, options, readable_of, seen_cards_of
from viiwork.recipes.launch import KEY, PORT, Launch
from viiwork.recipes.load import PLACEHOLDER, PLACEHOLDERS
from viiwork.recipes.modelfacts import ModelFacts
from viiwork.recipes.parallel import Parallel
from viiwork.recipes.programs import PYTHON
from viiwork.recipes.recipe import Recipe
from viiwork.recipes.vessel import Vessel
from viiwork.settings import EngineSection

HOST = "127.0.0.1"
INHERITED = (
    *("PATH", "HOME", "USER", "LOGNAME", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "TMPDIR", "LD_LIBRARY_PATH"),
    *("XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_RUNTIME_DIR"),
)
"""All that passes from the worker to its engine. No variable that names cards, none of a hub, none of ours: those hold
passwords, and an inherited CUDA_VISIBLE_DEVICES beside a ROCR_VISIBLE_DEVICES hides every card."""
THREADS = "OMP_NUM_THREADS"
KEEP_MARKS = {"SPT_NOENV": "1"}
"""setproctitle must not write a title over the environment: a lost engine is found by what stands there. Of vLLM 0.32
nothing was left of it, with this all."""
NOBODY = "viiwork"
"""The name of an engine's user in a container."""
LEAST_KV_BYTES, MOST_KV_BYTES = 64 << 20, 4 << 30


@dataclass(frozen=True, slots=True)
class Place:
    """Where an engine is to run: what it shares, and with how many."""

    environ: Mapping[str, str]
    """The worker's."""
    state_dir: Path
    engines: int = 1
    """How many engines share this host's processors."""
    cpus: int = 1
    """How many of its processors this process may use."""
    root: Path = ROOT
    ram_bytes: int = 0
    """Of this host; 0 where no container is to be limited by it."""
    cards: tuple[Device, ...] = ()
    """Those of the worker, where the settings name cards; else its name's numbers are all that is known of them."""

    parallel: Parallel | None = None
    """How the model lies on them, where that was planned; else tensor parallel over all of them."""

    @property
    def threads(self) -> int:
        """An engine's share; ten engines on eight threads get one each."""
        return max(1, self.cpus // max(1, self.engines))


def usable_cpus() -> int:
    """How many processors this process may use, which in a container may be fewer than there are."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def make_launch(
    recipe: Recipe,
    engine: EngineSection,
    *,
    worker: str,
    alias: str,
    model: ModelFacts,
    place: Place,
    program: str = "",
    name: str = "",
    vessel: Vessel | None = None,
) -> Launch:
    """The engine of `worker`. `program` is its interpreter, or the program itself if the command names no {python};
    `name` is what a server that somebody else runs calls the model. In a container (`vessel`), what can be seen there
    is settled here too. Raises SettingsError or StartupError then.
    """
    fill = _Filling(recipe, engine, worker=worker, alias=alias, model=model, program=program, place=place)
    return Launch(
        worker=worker,
        title=recipe.title,
        alias=name or fill(recipe.serves_as),
        argv=_argv(recipe, engine, fill, program, several=_parallel(worker, place).cards > 1),
        env=_environment(recipe, fill, worker, place, program) if vessel is None else _inside(recipe, fill, place),
        container=vessel and _container(recipe, vessel, worker=worker, model=model, place=place),
        url=(engine.url or "").rstrip("/"),
        key_file=str(engine.key_file.absolute()) if engine.key_file else "",
        dialect=recipe.dialect,
        priority=recipe.priority,
        health=recipe.health,
        loading=recipe.loading,
        metrics=recipe.metrics,
        slots=slots_of(recipe, engine),
        context_tokens=context_of(recipe, engine, model),
        start_timeout_s=engine.start_timeout_s or recipe.start_timeout_s,
        stop_grace_s=recipe.stop_grace_s,
        hang_s=engine.hang_s or recipe.hang_s,
        keep_s=engine.keep_s,
        canary=engine.canary,
        canary_every_s=engine.canary_every_s,
        expect=engine.canary_expect,
        vram_used_file=_vram_used_file(recipe, worker, place),
    )


def slots_of(recipe: Recipe, engine: EngineSection) -> int:
    """K, requests in flight at once."""
    return engine.slots or recipe.slots


def context_of(recipe: Recipe, engine: EngineSection, model: ModelFacts) -> int:
    """The longest prompt plus output: what was asked for, else the recipe's, and never more than the model's own."""
    wanted = engine.context_tokens or recipe.context_tokens
    return min(wanted, model.context_tokens or wanted)


def kv_bytes_of(recipe: Recipe, engine: EngineSection, model: ModelFacts) -> int:
    """Memory for keys and values: of all slots full, but 4 GiB at most, and one full slot at least.

    A server refuses to start when not even one request of full length fits.
    """
    one = context_of(recipe, engine, model) * model.kv_bytes
    return max(LEAST_KV_BYTES, one * 9 // 8, min(MOST_KV_BYTES, one * slots_of(recipe, engine)))


def scratch_of(state_dir: Path, worker: str) -> Path:
    """A folder for what an engine leaves while it runs."""
    return state_dir.absolute() / "engines" / worker


def home_of(state_dir: Path) -> Path:
    """The home of engines in containers: what they compile is there at the next start."""
    return state_dir.absolute() / "engines" / "home"


class _Filling:
    """Puts values in the place of placeholders; {port} and {key} stay, the guard draws them anew for every start."""

    def __init__(
        self,
        recipe: Recipe,
        engine: EngineSection,
        *,
        worker: str,
        alias: str,
        model: ModelFacts,
        program: str,
        place: Place,
    ) -> None:
        slots, context = slots_of(recipe, engine), context_of(recipe, engine, model)
        parallel = _parallel(worker, place)
        self._values = {
            "python": program,
            "model": model.path or alias,
            "alias": alias,
            "host": HOST,
            "port": PORT,
            "key": KEY,
            "slots": str(slots),
            "context": str(context),
            "kv_tokens": str(slots * context),
            "kv_bytes": str(kv_bytes_of(recipe, engine, model)),
            "cards": str(parallel.cards),
            "tensor_parallel": str(parallel.tensor),
            "pipeline_parallel": str(parallel.pipeline),
            "tensor_split": parallel.shares,
            "threads": str(place.threads),
            "scratch": str(scratch_of(place.state_dir, worker)),
        }

    def __call__(self, text: str) -> str:
        return PLACEHOLDER.sub(lambda found: self._values[found[1]] if found[1] in PLACEHOLDERS else found[0], text)


def _parallel(worker: str, place: Place) -> Parallel:
    return place.parallel or Parallel(max(1, len(numbers(worker))))


def _argv(recipe: Recipe, engine: EngineSection, fill: _Filling, program: str, *, several: bool) -> tuple[str, ...]:
    if not recipe.command:
        return ()
    first, *rest = (fill(word) for word in (*recipe.command, *(recipe.split if several else ())))
    return (first if _needs_python(recipe) else program, *rest, *engine.args)


def _needs_python(recipe: Recipe) -> bool:
    return any(PYTHON in word for word in recipe.command)


def _environment(recipe: Recipe, fill: _Filling, worker: str, place: Place, program: str) -> dict[str, str]:
    """Built from nothing, so that what it holds is what stands here."""
    if not recipe.command:
        return {}
    passed = {name: place.environ[name] for name in (*INHERITED, *recipe.inherit) if name in place.environ}
    if _needs_python(recipe):
        # as `activate` does: kernels that are compiled on the spot call the `ninja` of that environment by its name
        passed["PATH"] = os.pathsep.join(filter(None, [str(Path(program).parent), passed.get("PATH", "")]))
    env = {
        THREADS: str(place.threads),
        **KEEP_MARKS,
        **passed,
        **{name: fill(text) for name, text in recipe.env.items()},
    }
    return env | _pins(recipe, worker, place)


def _inside(recipe: Recipe, fill: _Filling, place: Place) -> dict[str, str]:
    """In a container: the image's own variables, and these. It needs no pin: it is given its cards and no others."""
    boxed = recipe.container
    passed = {name: place.environ[name] for name in boxed.inherit if name in place.environ}
    told = {name: fill(text) for name, text in recipe.env.items()}
    return {THREADS: str(place.threads), **KEEP_MARKS, **passed, **told}


def _container(recipe: Recipe, vessel: Vessel, *, worker: str, model: ModelFacts, place: Place) -> Container:
    home = str(home_of(place.state_dir))
    host = Host(place.root)
    outside = Outside(
        seen=seen_cards_of(recipe, worker, place.cards, host),
        readable=readable_of(model.path, recipe.container.mounts),
        writable=(home, str(scratch_of(place.state_dir, worker))),
        uid=os.getuid(),
        gid=os.getgid(),
        memory_bytes=int(place.ram_bytes * MEMORY_SHARE),
    )
    return Container(
        client=vessel.client,
        image=vessel.image.id,
        options=options(vessel.client, recipe.container, outside, stop_grace_s=recipe.stop_grace_s),
        # PyTorch asks who its user is, and this one has no entry in the image
        plain={"HOME": home, "USER": NOBODY, "LOGNAME": NOBODY},
        pins=_pins(recipe, worker, place),
    )


def _pins(recipe: Recipe, worker: str, place: Place) -> dict[str, str]:
    if not recipe.pin:
        return {}
    if place.cards:
        return pins(recipe.pin, place.cards)
    return {recipe.pin: pin_value(worker, seen=seen_cards(recipe.pin, root=place.root))}


def _vram_used_file(recipe: Recipe, worker: str, place: Place) -> str:
    if not recipe.pin:
        return ""
    return used_file_of(place.cards, root=place.root) if place.cards else vram_used_file(worker, root=place.root)
