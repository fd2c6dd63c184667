"""A fleet that is being upgraded: what workers of the version before do with jobs of this one. Runs their real code."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.workers import ROOT, Fleet, bare_environ, eventually, make_job, ready
from viiwork.fleet.plan import settings_env
from viiwork.jobs import Job, Lane, State
from viiwork.store import Store
from viiwork.store.leases import INPUT
from viiwork.work import (
    AnalysisTask,
    ChatInput,
    CloseInput,
    CompletionInput,
    EmbeddingInput,
    JobInput,
    Label,
    LinesInput,
    MergeInput,
    Message,
    ReadInput,
    RefusedInput,
    Sampling,
    Shape,
    StepInput,
    TaskOptions,
)

FIRST_SCHEMA = "063e9cd"
"""The last commit of the first schema."""
LATER = ("VIIWORK_ENGINE_", "VIIWORK_MODELS_", "VIIWORK_FLEET_ROLE", "VIIWORK_API_")
USER = Message(role="user", content="hi")
CALL = {"id": "1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
TOOL = {"type": "function", "function": {"name": "f"}}
ASK, PROMPT = AnalysisTask.ASK, AnalysisTask.PROMPT
WHY, LIST = TaskOptions(question="Why?", labels=(Label(name="a"),)), TaskOptions(prompt="List it.")
KNOWN: list[JobInput] = [
    ChatInput(messages=(USER, Message(role="assistant", content="x")), max_output_tokens=9, temperature=0.5),
    StepInput(task=ASK, options=WHY, title="t", text="x", part=1, parts=2, page_starts=((0, 1),), stage="reduce"),
    ReadInput(name="a", text="x", task=ASK, options=WHY, model="m"),
    MergeInput(parts=("a",), task=ASK, options=WHY, model="m", level=1, below=("b",), notes=("n",)),
]
NEW: list[JobInput] = [
    CompletionInput(prompt="x"),
    EmbeddingInput(texts=("x",)),
    ChatInput(messages=(USER.model_copy(update={"name": "anna"}),)),
    ChatInput(messages=(USER, Message(role="assistant", content="", tool_calls=(CALL,)))),
    ChatInput(messages=(USER, Message(role="tool", content="3", tool_call_id="1"))),
    ChatInput(messages=(USER,), sampling=Sampling(stop=("x",))),
    ChatInput(messages=(USER,), shape=Shape(choice=("yes", "no"))),
    ChatInput(messages=(USER,), tools=(TOOL,)),
    StepInput(task=ASK, options=WHY, text="x", one_turn=True),
    StepInput(task=PROMPT, options=LIST, text="x"),
    ReadInput(name="a", text="x", task=PROMPT, options=LIST, model="m"),
    ReadInput(name="a", blob="b", way=(0,), task=ASK, options=WHY, model="m"),
    MergeInput(parts=("a",), task=PROMPT, options=LIST, model="m"),
    LinesInput(batch="an_x", blob="b", endpoint="/v1/embeddings"),
    RefusedInput(code="invalid_request", message="n: no."),
    CloseInput(batch="an_x", blob="b"),
]
READ = """
import sys
from viiwork.store.leases import INPUT
for line in sys.stdin:
    try:
        print(INPUT.validate_json(line).model_dump_json())
    except ValueError:
        print("null")
"""


@pytest.fixture(scope="module")
def earlier(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The packages as they were."""
    asked = ["git", "archive", FIRST_SCHEMA, "viiwork", "workers"]
    archive = subprocess.run(asked, cwd=ROOT, capture_output=True, check=False)
    if archive.returncode != 0:
        pytest.skip("there is no git history to take the version before from")
    folder = tmp_path_factory.mktemp("earlier")
    subprocess.run(["tar", "-x", "-C", str(folder)], input=archive.stdout, check=True)
    return folder


def start_earlier(fleet: Fleet, code: Path) -> None:
    """`cpu0` from that code, with the settings that it knows: they were fewer."""
    known = {name: value for name, value in settings_env(fleet.settings).items() if not name.startswith(LATER)}
    inherited = bare_environ()
    with (fleet.logs / "cpu0.log").open("ab") as log:
        fleet.processes["cpu0"] = subprocess.Popen(
            [sys.executable, "-m", "viiwork_workers", "cpu0"],
            cwd=code,
            env=inherited | known | {"VIIWORK_ENGINE_KIND": "noop"} | importing(code),
            stdout=log,
            stderr=log,
            start_new_session=True,
        )


def importing(code: Path) -> dict[str, str]:
    return {"PYTHONPATH": f"{code}{os.pathsep}{code / 'workers'}"}


def test_the_first_schema_is_asked_of_jobs_that_they_read_whole(earlier: Path) -> None:
    """And a newer one of all that they cannot read, or would drop a field of."""
    works = [*KNOWN, *NEW]
    env = os.environ | importing(earlier)
    told = "".join(work.model_dump_json() + "\n" for work in works)
    read = subprocess.run(
        [sys.executable, "-c", READ], input=told, env=env, cwd=earlier, capture_output=True, text=True, check=True
    )
    answers = zip(read.stdout.splitlines(), works, strict=True)
    whole = [theirs != "null" and INPUT.validate_json(theirs) == ours for theirs, ours in answers]
    assert whole == [True] * len(KNOWN) + [False] * len(NEW)
    assert [make_job(input=work).schema_version == 1 for work in works] == whole


def test_a_stream_is_served_by_all() -> None:
    """By a worker that does not know it the text comes at its end, and nothing is lost."""
    assert make_job(input=ChatInput(messages=(USER,), stream=True)).schema_version == 1


async def test_workers_of_the_version_before_leave_what_they_do_not_know(
    real_store: Store, fleet: Fleet, earlier: Path
) -> None:
    """They serve the rest; what they left waits for a worker that knows it, and is not asked for without pause."""
    start_earlier(fleet, earlier)
    await ready(real_store, 1)
    (old,) = (await real_store.fleet()).workers
    assert old.card.schema_version == 1
    news = [make_job(input=CompletionInput(prompt="x"), lane=lane) for lane in Lane for _ in range(3)]
    plain = [make_job(lane=lane) for lane in Lane for _ in range(3)]
    await real_store.submit([*news, *plain])

    async def done(jobs: list[Job]) -> bool:
        return all([(await real_store.job(job.id)).state is State.SUCCEEDED for job in jobs])

    await eventually(lambda: done(plain), what="what the old worker knows")
    left = [await real_store.job(job.id) for job in news]
    assert {(job.state in (State.QUEUED, State.WAITING), job.attempt, job.history) for job in left} == {(True, 0, ())}
    fleet.start("cpu1")
    await eventually(lambda: done(news), what="what only the new worker knows")
    assert {job.worker.partition("@")[0] for job in [await real_store.job(job.id) for job in news]} == {"cpu1"}
    hints = [int((await real_store.read([("HGET", f"{real_store.prefix}job:{job.id}", "hints")]))[0]) for job in news]
    assert max(hints) < 60
