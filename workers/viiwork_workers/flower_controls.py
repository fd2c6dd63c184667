"""What Flower's buttons do: each works, or says in a sentence why not and what to do instead."""

from __future__ import annotations

from typing import Any

from flower.api import BaseApiHandler
from flower.api.control import ControlHandler
from tornado.web import HTTPError

from viiwork.errors import ViiworkError
from viiwork.jobs import State
from viiwork.queues import HintId

PATIENCE_S = 5.0
"""How long a worker's answer is waited for; it comes at once, on a busy machine within a second or two."""
ASKS = 2
"""What is asked is published to whoever listens at that moment: a worker that has just come up may miss it once."""
SLOTS = "How many jobs a worker has at once is a setting of the fleet: change engine.slots and start it again."
POOL = (
    "There is no pool to restart. Shut the worker down instead: it finishes what runs, and `viiwork up` starts it anew."
)
RATES = "Hints are not held to a rate. `viiwork pause` stops an analysis, `viiwork priority` lets others go before it."
LIMITS = "How long a job may run is said when it is submitted (timeout_s)."
ELSEWHERE = "Jobs are submitted to VIIWork's own API: POST /v1/jobs or /v1/analyses."
REVOKE = "That is not done here: Revoke or Terminate cancels the job."


class Refused(BaseApiHandler):  # type: ignore[misc] # flower is untyped
    """A control that VIIWork's workers do not have."""

    def initialize(self, why: str) -> None:
        self._why = why

    def post(self, *_: str) -> None:
        raise HTTPError(403, self._why)


class RefusedInHtml(Refused):
    """Flower's page takes the words of this one answer out of HTML."""

    def write_error(self, status_code: int, **_: Any) -> None:
        self.set_status(status_code)
        self.finish(f"<p>{self._why}</p>")


class Asking(ControlHandler):  # type: ignore[misc] # flower is untyped
    """A control that asks one worker and waits for what it says."""

    async def ask(self, name: str, command: str, **arguments: str) -> dict[str, Any] | None:
        """What the worker answers, or None. The command must be one that may be heard twice."""
        for _ in range(ASKS):
            answers = await self.run_blocking(
                command,
                name,
                self.capp.control.broadcast,
                command,
                arguments=arguments,
                destination=[name],
                reply=True,
                timeout=PATIENCE_S,
            )
            told = next((answer[name] for answer in answers or () if name in answer), None)
            if told is not None:
                return dict(told)
        return None


class ShutDown(Asking):
    """A worker ends in order."""

    async def post(self, name: str) -> None:
        if await self.ask(name, "ping") is None:
            raise HTTPError(404, silent(name))
        control = self.capp.control
        await self.run_blocking("worker.shutdown", name, control.broadcast, "shutdown", destination=[name])
        late = f"what takes longer than {self.application.drain_grace_s:g} s goes back to its queue"
        away = "" if name.startswith("reader") else f" To keep it away: viiwork drain {name}."
        self.write(
            {
                "message": f"{name} takes no more jobs, finishes what runs ({late}) and ends. "
                f"`viiwork up` starts it again.{away}"
            }
        )


class Consumer(Asking):
    """A consumer is a lane of one worker: cancelled it is paused, added it goes on."""

    def initialize(self, command: str) -> None:
        self._command = command

    async def post(self, name: str) -> None:
        queue = self.get_argument("queue", "")
        if not queue:
            raise HTTPError(400, "Say which queue: its name stands in the table, such as batch.MODEL.")
        told = await self.ask(name, self._command, queue=queue) or {"error": silent(name)}
        if "ok" not in told:
            raise HTTPError(403, str(told.get("error")))
        self.write({"message": told["ok"]})


class Revoke(ControlHandler):  # type: ignore[misc] # flower is untyped
    """The job that a hint stands for is cancelled; the hint itself is shown as revoked by whoever has it."""

    async def post(self, hint: str) -> None:
        parsed = HintId.parse(hint)
        if parsed is None:
            raise HTTPError(404, "That is no hint of a job.")
        try:
            state = await self.application.store.cancel(parsed.job)
        except ViiworkError as error:
            raise HTTPError(error.http_status, str(error)) from error
        if state is not State.CANCELLED:
            raise HTTPError(409, f"Job {parsed.job} has ended already: it is {state.value}.")
        await self.run_blocking("task.revoke", hint, self.capp.control.revoke, hint)
        self.write({"message": f"Job {parsed.job} is cancelled."})


def silent(name: str) -> str:
    """Why nothing came back from a worker."""
    return f"{name} does not answer: it is not running, or it is cut off from Redis."


CONTROLS = [
    (r"/api/worker/shutdown/(.+)", ShutDown),
    (r"/api/worker/pool/restart/(.+)", Refused, {"why": POOL}),
    (r"/api/worker/pool/.+", Refused, {"why": SLOTS}),
    (r"/api/worker/queue/cancel-consumer/(.+)", Consumer, {"command": "cancel_consumer"}),
    (r"/api/worker/queue/add-consumer/(.+)", Consumer, {"command": "add_consumer"}),
    (r"/api/task/timeout/.+", RefusedInHtml, {"why": LIMITS}),
    (r"/api/task/rate-limit/.+", Refused, {"why": RATES}),
    (r"/api/task/(?:apply|async-apply|send-task)/.+", Refused, {"why": ELSEWHERE}),
    (r"/api/task/abort/.+", Refused, {"why": REVOKE}),
    (r"/api/task/revoke/(.+)", Revoke),
]
