"""From a recipe and its cards to what its container may see and take: nothing that is not named here."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from viiwork.containers.client import Client
from viiwork.devices import Device
from viiwork.devices.host import Host
from viiwork.errors import SettingsError, StartupError
from viiwork.recipes.cards import CUDA_PIN, KFD, amd_cards, numbers
from viiwork.recipes.modelfacts import files_of
from viiwork.recipes.recipe import Boxed, Recipe

MEMORY_SHARE = 0.8
"""Of this computer's memory: what takes more is ended alone, and not with Redis or another engine."""
NOT_IN_A_MOUNT = frozenset(',"\n')
"""`--mount` is a list with commas."""


@dataclass(frozen=True, slots=True)
class Seen:
    """The device files of the cards that it gets, and the numbers of the groups that may open them."""

    nodes: tuple[str, ...] = ()
    groups: tuple[int, ...] = ()
    nvidia: tuple[str, ...] = ()
    """UUIDs, else numbers."""


@dataclass(frozen=True, slots=True)
class Outside:
    """What of this host the container is made from."""

    seen: Seen
    readable: tuple[str, ...]
    writable: tuple[str, ...]
    uid: int
    gid: int
    memory_bytes: int


def options(client: Client, boxed: Boxed, outside: Outside, *, stop_grace_s: float) -> tuple[str, ...]:
    """The words of `run`. Pure.

    Its network is the host's: it listens on 127.0.0.1 as an engine without a container does, whose it is can be seen
    at the socket, and no other container reaches it; a published port would have it listen on all of a bridge.
    """
    rootless = client.kind == "podman" and outside.uid != 0
    limits = [f"--memory={boxed.memory_bytes or outside.memory_bytes}", f"--pids-limit={boxed.pids}"]
    return (
        *("--network=host", *_ipc(boxed), *limits, f"--stop-timeout={round(stop_grace_s)}"),
        *("--cap-drop=ALL", "--security-opt=no-new-privileges"),
        *(["--security-opt=seccomp=unconfined"] if boxed.seccomp == "unconfined" else []),
        *(["--security-opt=label=disable"] if client.kind == "podman" else []),  # else SELinux hides the mounts
        *(["--read-only"] if boxed.read_only else []),
        "--tmpfs=/tmp:rw,exec,nosuid,nodev,mode=1777",  # exec: what is compiled on the spot is loaded from there
        *_user(boxed, outside, rootless=rootless),
        *_cards(client, boxed, outside.seen, rootless=rootless),
        *(f"--mount=type=bind,src={path},dst={path},readonly" for path in outside.readable),
        *(f"--mount=type=bind,src={path},dst={path}" for path in outside.writable),
    )


def _ipc(boxed: Boxed) -> list[str]:
    return ["--ipc=host"] if boxed.ipc == "host" else ["--ipc=private", f"--shm-size={boxed.shm_bytes}"]


def _user(boxed: Boxed, outside: Outside, *, rootless: bool) -> list[str]:
    if boxed.user == "image":
        return []
    return [*(["--userns=keep-id"] if rootless else []), f"--user={outside.uid}:{outside.gid}"]


def _cards(client: Client, boxed: Boxed, seen: Seen, *, rootless: bool) -> list[str]:
    words = [f"--device={node}" for node in (*seen.nodes, *boxed.devices)]
    if rootless and seen.groups:
        words.append("--group-add=keep-groups")  # a user's own namespace has no number for them
    else:
        words += [f"--group-add={gid}" for gid in seen.groups]
    if seen.nvidia and client.kind == "docker":
        words += ["--gpus", f'"device={",".join(seen.nvidia)}"']
    elif seen.nvidia:
        words += [f"--device=nvidia.com/gpu={name}" for name in seen.nvidia]
    return words


def seen_cards_of(recipe: Recipe, worker: str, cards: Sequence[Device], host: Host) -> Seen:
    """The cards of a worker: those that were found, else by its number. Raises StartupError when one is not there."""
    if not recipe.pin or not numbers(worker):
        return Seen()
    real = [card for card in cards if card.vendor in ("amd", "nvidia")]
    if cards and not real:  # simulated ones
        return Seen()
    if real and all(card.vendor == "nvidia" for card in real):
        return Seen(nvidia=tuple(card.uuid or str(card.index) for card in real))
    if recipe.pin == CUDA_PIN and not real and not amd_cards(host.root):
        return Seen(nvidia=tuple(map(str, numbers(worker))))
    minors = [card.render_minor for card in real] or _by_number(worker, host)
    nodes = (f"/{KFD}", *(f"/dev/dri/renderD{minor}" for minor in minors))
    return Seen(nodes=nodes, groups=tuple(dict.fromkeys(_gid(host, node) for node in nodes)))


def _by_number(worker: str, host: Host) -> list[int]:
    there = [card.minor for card in amd_cards(host.root) if card.openable]
    wanted = numbers(worker)
    if len(there) == len(wanted) == 1:
        return there
    if absent := [number for number in wanted if number >= len(there)]:
        hint = "`viiwork gpus` lists those that this user may open."
        raise StartupError(f"card {absent[0]} of {worker} is not there.", hint=hint)
    return [there[number] for number in wanted]


def _gid(host: Host, node: str) -> int:
    try:
        return host.path(node).stat().st_gid
    except OSError as error:
        hint = "`viiwork doctor` says what is missing: the driver, or the card."
        raise StartupError(f"{node} is not there, which the engine's container needs.", hint=hint) from error


def readable_of(model: str, more: Iterable[str]) -> tuple[str, ...]:
    """The model and all that it links to, under their own names, and the recipe's own mounts. Raises SettingsError."""
    found = [*(_with_targets(Path(model)) if model else ()), *more]
    for path in found:
        if NOT_IN_A_MOUNT.intersection(path):
            raise SettingsError(
                f"{path} cannot be shown to a container: its name holds a comma, a quote or a line's end.",
                hint="Give it another name.",
                param="engine.model",
            )
        if not os.path.lexists(path):
            raise SettingsError(f"{path} is not there, and the recipe's `mounts` name it.", param="engine.kind")
    return tuple(dict.fromkeys(found))


def _with_targets(model: Path) -> Iterator[str]:
    """A hub's own cache keeps a model's files as links to another folder."""
    yield str(model)
    files = [model, *model.rglob("*")] if model.is_dir() else files_of(model)
    for file in files:
        if not file.is_relative_to(model):  # another part of the same file
            yield str(file)
        target = file.resolve()
        if target.exists() and not target.is_relative_to(model):
            yield str(target)
