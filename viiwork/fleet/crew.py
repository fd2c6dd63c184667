"""The processes that are kept: all of them at the start, and engine workers that come and go later."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Iterable
from contextlib import suppress
from pathlib import Path

from viiwork.fleet.child import Child, ChildState
from viiwork.fleet.plan import STOP_ORDER, ProcessSpec

LOOK_S = 0.1
OnExit = Callable[[Child, int, int], Awaitable[None]]


class Crew:
    """`children` is always the one list, so that others may look at it too."""

    def __init__(self, *, logs: Path, on_exit: OnExit, hurry: asyncio.Event) -> None:
        self.children: list[Child] = []
        self._logs = logs
        self._on_exit = on_exit
        self._hurry = hurry
        self._going: set[asyncio.Task[None]] = set()
        self._leaving: list[Child] = []
        """Those that another has followed."""

    def of(self, name: str) -> Child | None:
        """The process of that name."""
        return next((child for child in self.children if child.spec.name == name), None)

    def keeps(self, name: str) -> bool:
        """Whether there is one that was not asked to end."""
        child = self.of(name)
        return child is not None and not child.stopping

    def begin(self, specs: Iterable[ProcessSpec], *, needed: bool = False) -> None:
        """Start these and keep them; returns at once. `needed` once the fleet is announced."""
        for spec in specs:
            child = Child(spec, logs=self._logs, on_exit=self._on_exit)
            child.needed = needed
            self.children.append(child)
            child.start()

    def announced(self) -> None:
        """From now on people's work waits for them."""
        for child in self.children:
            child.needed = True

    def let_go(self, names: Collection[str]) -> list[str]:
        """Have these finish what they have and end; answers at once which had not been told yet.

        `end` waits for their end, and knows them no more.
        """
        told = [child for child in self.children if child.spec.name in names and not child.stopping]
        for child in told:
            going = asyncio.create_task(child.stop(hurry=self._hurry), name=f"letting {child.spec.name} go")
            self._going.add(going)
            going.add_done_callback(self._going.discard)
        return [child.spec.name for child in told]

    async def renew(self, name: str, *, within_s: float) -> bool:
        """Let a new process follow that of this name, which goes on with what it has in hand; False if none came up."""
        old = self.of(name)
        if old is None or old.stopping:
            return False
        fresh = Child(old.spec, logs=self._logs, on_exit=self._on_exit)
        self.children.append(fresh)
        fresh.start()
        up = await _comes_up(fresh, within_s=within_s)
        self.children.remove(fresh)
        leaving, going = fresh, fresh.stop(hurry=self._hurry)
        if up and not old.stopping:
            going.close()
            fresh.needed, leaving, going = True, old, old.make_way(hurry=self._hurry)
            self.children[self.children.index(old)] = fresh
        self._leaving.append(leaving)
        task = asyncio.create_task(going, name=f"letting {name} go")
        self._going.add(task)
        task.add_done_callback(self._going.discard)
        task.add_done_callback(lambda _: self._leaving.remove(leaving))
        return leaving is old

    async def end(self, names: Collection[str]) -> None:
        """Let these finish what they have, end them, and know them no more."""
        ending = [child for child in self.children if child.spec.name in names]
        await asyncio.gather(*(child.stop(hurry=self._hurry) for child in ending))
        for child in ending:
            self.children.remove(child)

    async def end_all(self) -> None:
        """In order: engines drain first, and people fetch results for as long as they can."""
        for role in STOP_ORDER:
            of_role = [child for child in (*self.children, *self._leaving) if child.spec.role is role]
            await asyncio.gather(*(child.stop(hurry=self._hurry) for child in of_role))


async def _comes_up(child: Child, *, within_s: float) -> bool:
    with suppress(TimeoutError):
        async with asyncio.timeout(within_s):
            while child.state in (ChildState.STARTING, ChildState.RESTARTING):  # noqa: ASYNC110
                await asyncio.sleep(LOOK_S)  # whoever looks at it finds it ready; nobody is told
    return child.state is ChildState.READY
