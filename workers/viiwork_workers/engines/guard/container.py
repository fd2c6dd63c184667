"""An engine in a container: the guard runs `docker run` in the foreground, and ends the container by its label."""

from __future__ import annotations

import asyncio
import os
import secrets
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from viiwork.containers.client import ANSWER_S, Client, Said
from viiwork.containers.container import (
    ENGINE,
    GUARD,
    START,
    STATE,
    Container,
    guard_mark,
    list_words,
    name_of,
    read_mark,
    remove_words,
    run_words,
    stop_words,
)
from viiwork.containers.sweep import abandoned
from viiwork.processes import descendants, identity, is_alive
from viiwork.recipes import Launch
from viiwork_workers.engines.guard.child import Address, Child, Reaper, spawn
from viiwork_workers.engines.guard.course import Fall
from viiwork_workers.engines.guard.files import ENGINE_OF, GuardFiles
from viiwork_workers.engines.guard.processes import death
from viiwork_workers.engines.guard.tree import Person, computed_s, end_all, family

LOOK_S = 0.2
THERE_S = 120.0
"""For so long a daemon may take to make a container of a large image."""
NOT_MADE, NOT_RUN, NOT_FOUND = 125, 126, 127
"""Exit codes of `docker run` itself: no container, a program that may not be run, none of that name in the image."""
SIGNALLED = 128


class InContainer:
    """Implements `Body`. One container at a time carries this engine's label."""

    def __init__(self, launch: Launch, container: Container, *, files: GuardFiles, reaper: Reaper) -> None:
        self._launch = launch
        self._container = container
        self._files = files
        self._reaper = reaper
        self._name = ""
        self._root: Person | None = None

    async def start(self, address: Address, *, log: int, marks: Mapping[str, str]) -> Child:
        """What an earlier guard left under our label is ended first: two models do not fit on one card."""
        await clear(self._reaper, self._container.client, self._files.mark, grace_s=self._launch.stop_grace_s)
        start = secrets.token_hex(4)
        self._name, self._root = name_of(self._launch.worker, start), None
        argv = [address.fill(word) for word in self._launch.argv]
        env = {name: address.fill(value) for name, value in self._launch.env.items()}
        inside = {**env, **{name: value for name, value in marks.items() if name != "TMPDIR"}}
        client = self._container.client
        words = run_words(self._container, argv, inside, name=self._name, labels=self._labels(start))
        return spawn(client.command(words), {**self._container.pins, **inside, **client.environ, **marks}, log=log)

    async def pid(self, child: Child) -> int:
        """Of the container's first process, as this host numbers it; the client's where that is not to be seen."""
        deadline = asyncio.get_running_loop().time() + THERE_S
        while asyncio.get_running_loop().time() < deadline:
            said = await self._inspect("{{.State.Pid}} {{.Id}}")
            number, _, identifier = said.out.strip().partition(" ")
            if number.isdigit() and int(number) > 0:
                self._root = first_process(int(number), identifier, mark=self._files.mark)
                break
            await asyncio.sleep(LOOK_S)
        return self._root[0] if self._root is not None else child.pid

    def people(self) -> list[Person]:
        if self._root is None:
            return []
        return [self._root, *descendants(self._root[0])]

    def computed_s(self) -> float | None:
        return None if self._root is None else computed_s(self.people())

    async def fall(self, returncode: int) -> Fall:
        """A container's end by a signal is an exit code over 128."""
        if returncode in (NOT_RUN, NOT_FOUND):
            why = "the engine's program cannot be started in its container"
            return Fall("died", why, "Check that the image holds it, and `command` of the recipe.", hopeless=True)
        if returncode == NOT_MADE:
            return Fall("died", "the engine's container cannot be started", "Its log says why.")
        said = await self._inspect("{{.State.OOMKilled}}")
        if said.out.strip() == "true":
            why = "the engine took more memory than its container may"
            return Fall("died", why, "Give it more with `memory_bytes` in the recipe's [container].", struck=True)
        return death(SIGNALLED - returncode if returncode > SIGNALLED else returncode)

    async def end(self, *, grace_s: float) -> None:
        """The container, then the client; a daemon that does not answer leaves what can be seen to be ended by hand."""
        await clear(self._reaper, self._container.client, self._files.mark, grace_s=grace_s)
        await end_all(family, grace_s=grace_s)
        self._root = None

    def _labels(self, start: str) -> dict[str, str]:
        me = os.getpid()
        guard = guard_mark(me, identity(me) or "")
        return {ENGINE: self._files.mark, STATE: str(self._files.state_dir), GUARD: guard, START: start}

    async def _inspect(self, form: str) -> Said:
        words = ["container", "inspect", "--format", form, self._name]
        return await _ask(self._reaper, self._container.client, words)


async def clear(reaper: Reaper, client: Client, mark: str, *, grace_s: float) -> list[str]:
    """End the containers with this engine's label, ours and those of guards that are gone. Answers their ids."""
    found = await _ask(reaper, client, list_words(client.kind, ENGINE, mark))
    ids = abandoned(found, keep=_is_of_another)
    if ids:
        await _ask(reaper, client, stop_words(ids, grace_s=grace_s), limit_s=grace_s + ANSWER_S)
        await _ask(reaper, client, remove_words(ids))
    return ids


def _is_of_another(label: str) -> bool:
    """Of a guard that lives and is not us."""
    guard = read_mark(label)
    return guard is None or (guard[0] != os.getpid() and is_alive(*guard))


async def _ask(reaper: Reaper, client: Client, words: Sequence[str], *, limit_s: float = ANSWER_S) -> Said:
    return await reaper.ask(client.command(words), client.environ, limit_s=limit_s)


def first_process(pid: int, identifier: str, *, mark: str, proc: Path = Path("/proc")) -> Person | None:
    """The process of that number, if it is the container's: of a daemon elsewhere the number means nothing here."""
    who = identity(pid)
    with suppress(OSError):
        if who is not None and identifier in (proc / str(pid) / "cgroup").read_text(encoding="ascii"):
            return pid, who
    with suppress(OSError):
        wanted = f"{ENGINE_OF}={mark}".encode()
        if who is not None and wanted in (proc / str(pid) / "environ").read_bytes().split(b"\0"):
            return pid, who
    return None
