"""The wire contract: ids, records that survive their own JSON, and neighbours of another version."""

from __future__ import annotations

import time

import pytest
from pydantic import ValidationError

from tests.workers import make_job
from viiwork.jobs import (
    ID_PATTERN,
    TERMINAL,
    BatchState,
    BatchStatus,
    Counts,
    Fault,
    Lane,
    Result,
    State,
    batch_of,
    child_id,
    new_id,
)
from viiwork.queues import HintId
from viiwork.store.leases import INPUT
from viiwork.wire import as_json, public
from viiwork.work import (
    AnalysisTask,
    Answer,
    ChatInput,
    Evidence,
    JobInput,
    Label,
    MergeInput,
    Message,
    ReadInput,
    StepInput,
    TaskOptions,
    Usage,
)

INPUTS: list[JobInput] = [
    ChatInput(messages=(Message(role="user", content="häuschen ☃\n\"'\\"),), temperature=0.7),
    StepInput(task=AnalysisTask.ASK, text="", options=TaskOptions(question="Wer?"), page_starts=((0, 1), (7, 2))),
    StepInput(task=AnalysisTask.CLASSIFY, text="x", options=TaskOptions(labels=(Label(name="A"),)), stage="reduce"),
    ReadInput(name="d.pdf", blob="0" * 32, task=AnalysisTask.SUMMARIZE, model="m"),
    ReadInput(name="", text="", task=AnalysisTask.SUMMARIZE, model="m"),
    MergeInput(parts=("a", "b"), below=("c",), level=2, task=AnalysisTask.ASK, model="m", notes=("n",), pages=3),
]


@pytest.mark.parametrize("prefix", ["job", "an"])
def test_ids_look_as_they_are_promised(prefix: str) -> None:
    found = {new_id(prefix) for _ in range(500)}  # type: ignore[arg-type] # a literal, through parametrize
    assert len(found) == 500
    assert all(ID_PATTERN.match(name) and name.startswith(prefix) for name in found)


def test_ids_sort_by_the_time_they_were_made() -> None:
    first = new_id("job")
    time.sleep(0.003)
    assert first < new_id("job")


def test_ids_of_children_lead_back_to_their_batch() -> None:
    """And they are the same whenever they are made, so that a retry submits the same jobs."""
    batch = new_id("an")
    item = child_id(batch, "12")
    part = child_id(item, "l0p3")
    assert (item, part) == (f"{batch}-12", f"{batch}-12l0p3")
    assert batch_of(item) == batch_of(part) == batch
    assert batch_of(batch) == ""
    assert all(ID_PATTERN.match(name) for name in (batch, item, part))


TAIL = "0" * 26


@pytest.mark.parametrize(
    "name",
    ["", "job_", "job_x", "an_" + TAIL[1:], f"an_{TAIL}\n", f"an_{TAIL}-", f"an_{TAIL}-a.b", f"xjob_{TAIL}", "*"],
)
def test_what_is_no_id_is_recognised(name: str) -> None:
    assert not ID_PATTERN.match(name)


def test_no_id_can_break_a_hint_apart() -> None:
    """A hint's id is `<job>.<attempt>.<n>`: a job's id holds no dot."""
    job = child_id(child_id(new_id("an"), "49999"), "l9p999")
    assert HintId.parse(f"{job}.3.1") == HintId(job, 3, 1)


@pytest.mark.parametrize("work", INPUTS, ids=lambda work: work.kind)
def test_an_input_survives_its_json(work: JobInput) -> None:
    assert INPUT.validate_json(work.model_dump_json()) == work


@pytest.mark.parametrize(
    "record",
    [
        Result(answer=Answer(text="", scores={"ja": 0.5}, evidence=(Evidence(quote="☃", page=2),), usage=Usage())),
        Result(fault=Fault(code="c", message="m")),
        Result(),
    ],
)
def test_a_result_survives_its_compact_json(record: Result) -> None:
    assert Result.model_validate_json(as_json(record)) == record


def test_fields_of_a_newer_neighbour_are_ignored() -> None:
    """A fleet is upgraded worker by worker."""
    assert Fault.model_validate_json('{"code": "c", "message": "m", "colour": "red"}') == Fault(code="c", message="m")


@pytest.mark.parametrize("model", ["", "A", "a/b", "-a", "a" * 65, "a b", "a:b", "a|b", "a\n"])
def test_a_model_that_could_not_be_a_queues_name_is_refused(model: str) -> None:
    with pytest.raises(ValidationError):
        make_job(model=model)


def test_records_are_frozen() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        make_job().tenant = "eve"  # type: ignore[misc] # mypy knows that it is frozen


def test_a_job_costs_its_tokens_and_at_least_one() -> None:
    assert make_job().cost == 1
    assert make_job(prompt_tokens=700, max_output_tokens=100).cost == 800


def test_a_job_travels_in_the_queue_of_its_lane_and_model() -> None:
    assert make_job(lane=Lane.INTERACTIVE, model="qwen-3.8b").queue == "interactive.qwen-3.8b"


def test_usage_adds_up() -> None:
    total = Usage(prompt_tokens=1, output_tokens=2) + Usage(prompt_tokens=10, output_tokens=20)
    assert total == Usage(prompt_tokens=11, output_tokens=22)


def test_what_counts_as_an_end() -> None:
    assert {state.value for state in State} - {state.value for state in TERMINAL} == {"waiting", "queued", "running"}


@pytest.mark.parametrize(
    ("state", "finished"), [*zip(BatchState, [False, False, False, True, True, True], strict=True)]
)
def test_when_a_batch_is_finished(state: BatchState, finished: bool) -> None:
    status = BatchStatus(
        id="an_1", state=state, tenant="", lane=Lane.BATCH, model="m", task="ask", counts=Counts(), created_ms=0
    )
    assert status.finished is finished


def test_clients_see_plain_json_without_absent_values() -> None:
    assert public(Fault(code="c", message="m")) == {"code": "c", "message": "m", "hint": ""}
    assert "answer" not in public(Result())


def test_what_is_settled_is_all_that_ended() -> None:
    assert Counts(total=9, succeeded=1, failed=2, cancelled=3).settled == 6
