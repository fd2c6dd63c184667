"""A question to the model, and its answer while it is written."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from viiwork.client.keys import new_key
from viiwork.client.operation import streaming
from viiwork.client.steps import LEFT, Emit, Flow
from viiwork.client.wired import Spoken, Wired
from viiwork.errors import EngineError, EngineFault, UsageError, ViiworkError
from viiwork.jobs import TERMINAL, Lane, State, Status
from viiwork.telling import Delta, Restart


class Asking(Wired):
    """What can be asked of the model itself."""

    @streaming
    def ask(
        self,
        question: str,
        /,
        *,
        system: str = "",
        model: str | None = None,
        lane: Lane | str = Lane.INTERACTIVE,
        idempotency_key: str | None = None,
        **fields: Any,
    ) -> Flow[str]:
        """Ask the model; its answer comes piece by piece, while it is written and ahead of every batch.

            for piece in client.ask("What is a lease?"):
                print(piece, end="", flush=True)
            answer = "".join(client.ask("What is a lease?"))

        `fields` are those of `POST /v1/jobs`, such as `max_output_tokens`. Whoever stops reading cancels it. Raises
        EngineError with the reason when there is no answer. An answer that begins anew, since its worker died, is read
        on where it says the same again, else EngineFault is raised; `job_text` shows such beginnings.
        """
        if not question.strip():
            raise UsageError("question: is empty.", param="question")
        turns = [{"role": "system", "content": system}] if system else []
        chat = {"messages": [*turns, {"role": "user", "content": question}], "lane": str(lane), "stream": True}
        body = chat | ({"model": model} if model else {}) | fields
        headers = {"idempotency-key": idempotency_key or new_key()}
        job = yield from self._wire.ask(Status, "POST", "/v1/jobs", json=body, headers=headers)
        try:
            yield from self._answer_to(job)
        except (*LEFT, EngineFault):
            with suppress(ViiworkError, RuntimeError):  # the client may have been closed meanwhile
                yield from self._wire.ask(Status, "POST", f"/v1/jobs/{job.id}/cancel")
            raise

    def _answer_to(self, job: Status) -> Flow[str]:
        spoken, text = Spoken(self._wire, job.id), Text()
        while (told := (yield from spoken.next())) is not None:
            if isinstance(told, Delta):
                if new := text.more(told.text):
                    yield Emit(new)
            elif isinstance(told, Restart):
                text.begin_again()
            else:
                job = told
        self._remark_on(answered(job))
        text.end()

    def _remark_on(self, job: Status) -> None:
        """What must be known of an answer besides its text."""
        if job.answer is None:
            return
        if job.answer.finish_reason == "length":
            self._wire.remark("The answer was cut off: max_output_tokens allows a longer one.")
        if job.answer.notice:
            self._wire.remark(job.answer.notice)


class Text:
    """A text that is handed on and cannot be taken back: what is told again has to be the same."""

    def __init__(self) -> None:
        self._text = ""
        self._at = 0

    def more(self, piece: str) -> str:
        """What of a piece is new. Raises EngineFault where it is another text."""
        known = self._text[self._at : self._at + len(piece)]
        if not piece.startswith(known):
            raise _another()
        self._at += len(piece)
        self._text += piece[len(known) :]
        return piece[len(known) :]

    def begin_again(self) -> None:
        """The text is told from its beginning."""
        self._at = 0

    def end(self) -> None:
        """It is whole. Raises EngineFault where less was told again than before."""
        if self._at < len(self._text):
            raise _another()


def answered(job: Status) -> Status:
    """The job, which has an answer. Raises EngineError with the reason why it has none."""
    if job.state is State.SUCCEEDED:
        return job
    fault = job.error
    if fault is not None:
        raise EngineError(fault.message, hint=fault.hint, code=fault.code)
    ended = f"ended as {job.state.value}" if job.state in TERMINAL else "is not told of any more"
    raise EngineError(f"The job {ended}, without an answer.", code=job.state.value)


def _another() -> EngineFault:
    return EngineFault(
        "The worker that wrote the answer was lost, and the next one writes another answer.",
        hint="Ask again.",
        code="answer_restarted",
    )
