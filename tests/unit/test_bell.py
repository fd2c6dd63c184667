"""The bell rings once for all that a turn of the loop brings, and loses nothing."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

from viiwork_workers.bell import Bell


class Hub:
    """The other thread's to-do list."""

    def __init__(self) -> None:
        self.todo: list[Callable[[], None]] = []
        self.mail: deque[int] = deque()
        self.read: list[int] = []

    def pump(self) -> None:
        while self.mail:
            self.read.append(self.mail.popleft())

    def turn(self) -> None:
        todo, self.todo = self.todo, []
        for callback in todo:
            callback()


def post(hub: Hub, bell: Bell, letter: int) -> None:
    """As the station does it."""
    hub.mail.append(letter)
    bell(hub.pump)


async def test_what_comes_in_one_turn_of_the_loop_rings_once() -> None:
    hub = Hub()
    bell = Bell(hub.todo.append)

    async def job(letter: int) -> None:
        post(hub, bell, letter)

    await asyncio.gather(*map(job, range(5)))
    await asyncio.sleep(0)
    assert len(hub.todo) == 1
    hub.turn()
    assert hub.read == [0, 1, 2, 3, 4]


async def test_it_rings_after_all_whose_turn_it_is() -> None:
    """The hub's thread would take the interpreter from them."""
    hub = Hub()
    bell = Bell(hub.todo.append)
    post(hub, bell, 1)
    assert hub.todo == []
    await asyncio.sleep(0)
    assert len(hub.todo) == 1


def test_without_a_loop_it_rings_at_once() -> None:
    """A limit is raised from the thread of the beats."""
    hub = Hub()
    post(hub, Bell(hub.todo.append), 1)
    assert len(hub.todo) == 1


def test_what_comes_while_it_is_answered_rings_again() -> None:
    hub = Hub()
    bell = Bell(hub.todo.append)

    def pump_and_more() -> None:
        hub.pump()
        if len(hub.read) < 3:
            hub.mail.append(len(hub.read) + 1)
            bell(pump_and_more)

    hub.mail.append(1)
    bell(pump_and_more)
    for _ in range(3):
        hub.turn()
    assert hub.read == [1, 2, 3]
    assert hub.todo == []
