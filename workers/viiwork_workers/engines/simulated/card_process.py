"""The simulated card as a process of its own: `python -m viiwork_workers.engines.simulated.card_process`.

Its standard input is a socket to the worker (`frames`). It ends when that socket does: then the worker is gone, however
it went. (A parent-death signal follows the thread that started the process, not the worker, and misses grandchildren.)
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from contextlib import suppress

from pydantic import ValidationError

from viiwork.errors import EngineFault, ViiworkError
from viiwork.wire import Wire
from viiwork_workers.engines.intake import texts_of
from viiwork_workers.engines.simulated.engine import SimulatedEngine
from viiwork_workers.engines.simulated.frames import (
    LONGEST_LINE_BYTES,
    ORDERS,
    POISON,
    Begin,
    Ended,
    Load,
    Loaded,
    Run,
    Trouble,
)
from viiwork_workers.engines.simulated.frames import line as as_line

TELL_S = 0.5
UNSAID = b"null"
"""What a worker that is gone before its first word has said."""
POISON_S = 0.05
"""How long a poisoned job seems to run before it kills the engine."""


class CardProcess:
    """Runs the worker's orders on one simulated card."""

    def __init__(self, begin: Begin, writer: asyncio.StreamWriter) -> None:
        self._card = SimulatedEngine(model=begin.model, slots=begin.slots, time_scale=begin.time_scale, card=begin.card)
        self._poison = begin.poison
        self._writer = writer
        self._jobs: dict[int, asyncio.Task[None]] = {}

    async def load(self) -> None:
        """Load the card, then go on telling how loaded it is."""
        await self._card.load()
        self._say(Loaded())
        while True:
            now = self._card.signals()
            self._say(
                Load(
                    running=now.running,
                    waiting=now.waiting,
                    kv_use=now.kv_use or 0.0,
                    preemptions=now.preemptions,
                    output_tokens=now.output_tokens,
                )
            )
            await asyncio.sleep(TELL_S)

    def obey(self, order: bytes) -> None:
        """Begin or cancel a job; returns at once."""
        frame = ORDERS.validate_json(order)
        if isinstance(frame, Run):
            self._jobs[frame.id] = asyncio.create_task(self._answer(frame))
        elif job := self._jobs.pop(frame.id, None):
            job.cancel()

    async def _answer(self, order: Run) -> None:
        if self._poison and any(POISON in text for text in texts_of(order.work)):
            await asyncio.sleep(POISON_S)
            os.kill(os.getpid(), signal.SIGKILL)
        try:
            ended = Ended(id=order.id, answer=await self._card.run(order.work))
        except ViiworkError as error:
            ended = Ended(id=order.id, trouble=Trouble.of(error))
        except Exception as error:  # noqa: BLE001 - the worker must hear of a defect; its text may quote the document
            fault = EngineFault(f"the simulated card met a defect ({type(error).__name__}).")
            ended = Ended(id=order.id, trouble=Trouble.of(fault))
        self._jobs.pop(order.id, None)
        self._say(ended)

    def _say(self, frame: Wire) -> None:
        self._writer.write(as_line(frame))


async def serve(link: socket.socket) -> None:
    """Work until the worker is gone."""
    reader, writer = await asyncio.open_connection(sock=link, limit=LONGEST_LINE_BYTES)
    card = CardProcess(Begin.model_validate_json(await reader.readline() or UNSAID), writer)
    loading = asyncio.create_task(card.load())
    loading.add_done_callback(_end_without_card)
    while order := await reader.readline():
        card.obey(order)


def _end_without_card(loading: asyncio.Task[None]) -> None:
    """A card that could not be loaded is no engine: the worker sees the process end."""
    if not loading.cancelled() and loading.exception() is not None:
        os._exit(1)


def main() -> None:
    """Serve the socket that is the standard input; nothing is worth saving when it closes."""
    code = 1
    with suppress(ConnectionError, ValidationError), socket.socket(fileno=os.dup(0)) as link:
        asyncio.run(serve(link))
        code = 0
    os._exit(code)


if __name__ == "__main__":
    main()
