"""What is no hint, in a queue of ours: it is dropped, its content is told to nobody, and the worker goes on."""

from __future__ import annotations

import json

from tests.workers import Fleet, eventually, make_job, ready
from viiwork.jobs import Lane, State
from viiwork.queues import make_envelope
from viiwork.store import Store

SECRET = "Frau Müllers Befund"
NO_HINTS = (
    SECRET.encode(),
    b"\xff\xfe\x00",
    b"",
    b"[]",
    b"42",
    b"null",
    b"{}",
    b"[" * 20_000,
    json.dumps(SECRET).encode(),
    json.dumps({"headers": {}, "properties": {}, "body": SECRET}).encode(),
    json.dumps({"headers": [], "properties": SECRET}).encode(),
    make_envelope().replace("@TASK@", "someone.elses.task").replace("@HINT@", "job_x.1.1").encode(),
    make_envelope().replace("@TASK@", "viiwork.run").replace("@HINT@", SECRET).encode(),
    make_envelope()
    .replace("@TASK@", "viiwork.run")
    .replace("application/json", "application/x-python-serialize")
    .encode(),
)


async def test_whatever_lies_in_the_queues_the_worker_goes_on(fleet: Fleet, real_store: Store) -> None:
    """In both lanes, between jobs; each costs one line in the log, which does not tell what it was."""
    fleet.start("gpu0")
    await ready(real_store, 1)
    jobs = []
    for message in NO_HINTS:
        for lane in Lane:
            await real_store.client.lpush(f"{real_store.prefix}{lane.value}.noop", message)
            jobs.append(make_job(lane=lane, text=SECRET))
        await real_store.submit(jobs[-2:])

    async def done() -> bool:
        return all([(await real_store.job(job.id)).state is State.SUCCEEDED for job in jobs])

    await eventually(done, what="every job done")
    assert fleet.processes["gpu0"].poll() is None
    said = fleet.log("gpu0")
    assert said.count("is no hint") == 2 * len(NO_HINTS)
    assert "Befund" not in said
    assert "Traceback" not in said
    assert "Connection to broker lost" not in said
