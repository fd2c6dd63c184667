"""A request's answers as they are written: server-sent events, as the OpenAI API has them."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from viiwork.api.intake import Intake
from viiwork.api.openai.asked import Asked
from viiwork.api.openai.bodies import ChatBody, CompletionBody
from viiwork.api.openai.chunks import WAITING, Chunks, event
from viiwork.api.openai.faults import Failure, failure_from, failure_of
from viiwork.api.openai.hearing import Hearing
from viiwork.api.openai.problems import refusal
from viiwork.api.openai.waiting import HungUp, check_here, while_here
from viiwork.errors import StoreUnavailable, ViiworkError
from viiwork.jobs import State
from viiwork.store.ears import Ear
from viiwork.store.gathering import Gathering
from viiwork.store.watch import LOOK_AGAIN_S, Watch
from viiwork.work import Answer

HOLD_S = 10.0
"""For so long a stream's status waits for its first token: what fails before it has a status of its own."""
SILENT_S = 15.0
"""After so much silence a comment is sent."""
HEADERS = {
    "content-type": "text/event-stream; charset=utf-8",
    "cache-control": "no-cache",
    "x-accel-buffering": "no",  # else nginx keeps tokens back
}
BROKEN = Failure(
    500,
    "The worker was lost after it had begun to answer, and what was sent cannot be taken back: send the request again.",
    "answer_restarted",
    again=True,
)


class _Fell(Exception):
    """Raised when an answer cannot be had: why."""

    def __init__(self, failure: Failure) -> None:
        super().__init__()
        self.failure = failure


class Stream(Response):
    """A response that submits its jobs itself, once it listens, so that nothing of them is missed."""

    def __init__(
        self, request: Request, asked: Asked, body: ChatBody | CompletionBody, *, desk: Intake, watch: Watch, keep: bool
    ) -> None:
        """`keep` lets the jobs go on when the reader hangs up: it may come back for them."""
        self.background = None
        self.request, self.asked, self.desk, self.watch, self.keep = request, asked, desk, watch, keep
        self.chunks = Chunks(body, asked.facts)
        self.ear = Ear(*asked.ids)
        self.asker: Gathering = request.app.state.asker
        self.hearings = [Hearing(desk.store, self.asker, job_id) for job_id in asked.ids]
        self.started = False
        """Whether the response's status has been sent."""
        self.submitted_s = self.sent_s = time.monotonic()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer. What fails before the first token is answered with its own status, later as an event."""
        try:
            await self._tell(send)
        except HungUp:
            return
        except _Fell as fell:
            await self._fail(fell.failure, scope, receive, send)
        except ViiworkError as error:
            if not self.started:
                await refusal(error)(scope, receive, send)
            else:
                await self._fail(failure_from(error), scope, receive, send)

    async def _tell(self, send: Send) -> None:
        with self.watch.told(self.ear, *self.asked.ids):
            await self.asked.submit(self.desk, self.asker, heard=True)
            self.submitted_s = self.sent_s = time.monotonic()
            theirs = () if self.keep else self.asked.ids
            async with while_here(self.request, self.ear, self.desk.store, theirs):
                async for piece in self._pieces():
                    await self._send(piece, send)
                await self._send(self.chunks.last(self._answers()), send)
        await send({"type": "http.response.body", "body": b""})

    async def _pieces(self) -> AsyncIterator[bytes]:
        """What is new, as often as there is anything; comments in between."""
        at_once = self.asked.again
        while not all(hearing.over for hearing in self.hearings):
            if not at_once:
                await self.ear.wait(LOOK_AGAIN_S)
            at_once = False
            check_here(self.watch, self.ear)
            piece = b"".join([await self._heard(at, hearing) for at, hearing in enumerate(self.hearings)])
            if piece or self._must_speak():
                yield piece or WAITING

    async def _heard(self, index: int, hearing: Hearing) -> bytes:
        if hearing.over:
            return b""
        new = not hearing.spoke
        words = self.ear.take(hearing.job_id)
        if not words and len(self.hearings) > 1 and time.monotonic() < self.sent_s + LOOK_AGAIN_S:
            return b""  # it was another one that was heard
        try:
            text = await hearing.hear(words)
        except StoreUnavailable:
            return b""
        told = self.chunks.begin(index) if new and (text or hearing.end) else b""
        told += self.chunks.text(index, text) if text else b""
        if hearing.broken:
            raise _Fell(BROKEN)
        if hearing.end is not None:
            if hearing.end.answer is None:
                raise _Fell(
                    failure_of(hearing.end.state or State.EXPIRED, hearing.end.fault, prompt=self.asked.body.asks)
                )
            told += self.chunks.end(index, hearing.end.answer)
        return told

    def _must_speak(self) -> bool:
        """Whether it is time for a comment: also for the first one, with which the status goes."""
        return time.monotonic() - self.sent_s > (SILENT_S if self.started else HOLD_S)

    def _answers(self) -> list[Answer]:
        return [hearing.end.answer for hearing in self.hearings if hearing.end and hearing.end.answer]

    async def _send(self, piece: bytes, send: Send) -> None:
        if not self.started:
            self.started = True
            headers = [(name.encode(), value.encode()) for name, value in (HEADERS | self._facts()).items()]
            await send({"type": "http.response.start", "status": 200, "headers": headers})
        self.sent_s = time.monotonic()
        await send({"type": "http.response.body", "body": piece, "more_body": True})

    def _facts(self) -> dict[str, str]:
        """What is known of it when its first token comes."""
        began = [hearing.began_s for hearing in self.hearings if hearing.began_s is not None]
        waited = {"x-viiwork-wait-ms": str(int(1000 * (max(began) - self.submitted_s)))} if began else {}
        return self.asked.headers | waited

    async def _fail(self, failure: Failure, scope: Scope, receive: Receive, send: Send) -> None:
        if not self.started:
            await refusal(failure, self._facts())(scope, receive, send)
            return
        await self._send(event({"error": failure.error}), send)
        await send({"type": "http.response.body", "body": b""})
