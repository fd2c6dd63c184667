"""What a job's engine writes, told to whoever listens, in groups of 20 ms; the job never waits for it."""

from __future__ import annotations

import asyncio

from viiwork.errors import StoreUnavailable
from viiwork.store import Fence
from viiwork.store.scripts import Call
from viiwork_workers.tick import Tick

GROUP_S = 0.02
ASK_S = (0.02, 0.05, 0.1, 0.2, 0.5)
"""While nobody listens it is asked again after so long; the last one repeats."""
PIECE_BYTES = 16 * 1024
NOBODY, OVER = -1, -2
"""What `delta.lua` answers besides how far the text is said."""


class Voice:
    """One attempt's text. Lives on the engine's loop; the voices of a worker share a tick, and so their round trips.

    What is not said yet stays here: a listener that comes late, or again, is told all of the attempt at once. What
    nobody was told when the attempt ends comes with the answer, so the end need not wait.
    """

    def __init__(self, tick: Tick, fence: Fence) -> None:
        self._tick = tick
        self._fence = fence
        self._text = bytearray()
        self._said = 0
        self._heard = True
        """Whether somebody listened when it was last asked; assumed at first, so that the first piece leaves."""
        self._asked = 0
        self._over = False
        self._speaking: asyncio.Task[None] | None = None

    def say(self, text: str) -> None:
        """Tell a new piece: at once if nothing was told for 20 ms."""
        self._text += text.encode("utf-8", "replace")
        if not self._over and (self._speaking is None or self._speaking.done()):
            self._speaking = asyncio.get_running_loop().create_task(self._speak())

    def finish(self) -> None:
        """Say no more. A call that is under way is harmless: after the commit the fence is down."""
        self._over = True
        if self._speaking is not None:
            self._speaking.cancel()

    async def _speak(self) -> None:
        while self._said < len(self._text) and not self._over:
            pause_s = await self._tell()
            await asyncio.sleep(pause_s)

    async def _tell(self) -> float:
        """One call; answers how long to wait before the next."""
        piece, upto = self._piece() if self._heard else b"", len(self._text)
        fence = self._fence
        try:
            call = Call("delta", (fence.job, fence.attempt, fence.token, self._said, piece))
            reply = int(await self._tick.call(call))
        except StoreUnavailable:
            reply = NOBODY
        if reply < 0:
            self._over = reply == OVER
            self._heard = False
            self._asked += 1
            return ASK_S[min(self._asked, len(ASK_S)) - 1]
        self._heard, self._asked, self._said = True, 0, reply
        return GROUP_S if reply >= upto else 0.0

    def _piece(self) -> bytes:
        """What comes next, so long as one call may be, cut between two characters."""
        end = min(self._said + PIECE_BYTES, len(self._text))
        while end < len(self._text) and self._text[end] & 0xC0 == 0x80:
            end -= 1
        return bytes(self._text[self._said : end])
