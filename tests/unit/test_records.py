"""Between wire types and the flat hashes in Redis."""

from __future__ import annotations

from tests.hands import document
from tests.workers import make_job
from viiwork.jobs import BatchState, Counts, Fault, Lane, Result, State, TaskName
from viiwork.store.records import batch_status_of, job_fields, result_json, result_of, row_of, status_of
from viiwork.work import Answer

BARE = {"state": "waiting", "lane": "batch", "model": "noop", "task": "viiwork.run", "created_ms": "1000"}


def fields_of(flat: list[str]) -> dict[str, str]:
    return dict(zip(flat[::2], flat[1::2], strict=True))


def test_a_plain_job_has_no_empty_fields() -> None:
    """A hundred thousand records: each byte counts."""
    found = fields_of(job_fields(make_job(), input_json="{}", input_blob="", ttl_ms=5))
    assert "" not in found.values()
    assert set(found) == {
        "schema", "task", "tenant", "lane", "model", "queue", "settle", "waits_for", "cost", "timeout_ms", "ttl_ms",
        "input",
    }  # fmt: skip
    assert (found["queue"], found["ttl_ms"], found["timeout_ms"]) == ("batch.noop", "5", "600000")


def test_a_document_says_what_it_feeds_and_where_it_lies() -> None:
    found = fields_of(job_fields(document("an_1", model="qwen"), input_json="{}", input_blob="", ttl_ms=0))
    assert (found["document"], found["feeds"]) == ("0.txt", "batch.qwen")
    assert "document_blob" not in found


def test_a_bare_record_is_a_status() -> None:
    status = status_of("job_1", BARE, Result())
    assert (status.state, status.lane, status.task) == (State.WAITING, Lane.BATCH, TaskName.RUN)
    assert (status.attempt, status.metadata, status.started_ms, status.expires_ms) == (0, {}, None, None)


def test_no_time_to_live_is_no_date() -> None:
    """0 in the record means for ever."""
    assert status_of("job_1", {**BARE, "expires_ms": "0"}, Result()).expires_ms is None
    batch = {"state": "completed", "lane": "batch", "model": "m", "created_ms": "1", "expires_ms": "0"}
    assert batch_status_of("an_1", batch).expires_ms is None


def test_a_batch_counts_its_items_until_the_total_is_known() -> None:
    batch = {"state": "uploading", "lane": "batch", "model": "m", "created_ms": "1", "items": "7"}
    assert batch_status_of("an_1", batch).counts == Counts(total=7)
    sealed = batch_status_of("an_1", {**batch, "state": "running", "total": "9", "failed": "2"})
    assert (sealed.state, sealed.counts) == (BatchState.RUNNING, Counts(total=9, failed=2))


def test_a_row_has_the_documents_place_and_time() -> None:
    root = {"item_state": "succeeded", "item_ms": "3500", "created_ms": "1000", "document": "a.pdf", "custom_id": "x"}
    row = row_of("an_1-17", root, Result(answer=Answer(text="yes")))
    assert (row.index, row.document, row.custom_id, row.state, row.seconds) == (17, "a.pdf", "x", State.SUCCEEDED, 2.5)


def test_a_clock_that_went_back_makes_no_negative_time() -> None:
    root = {"item_state": "failed", "item_ms": "500", "created_ms": "1000"}
    assert row_of("an_1-0", root, Result()).seconds == 0


def test_a_result_is_what_was_committed() -> None:
    for said in (Answer(text="☃" * 9), Fault(code="c", message="m", hint="h")):
        result = result_of({}, result_json(said))
        assert (result.answer or result.fault) == said


def test_a_script_that_ended_a_job_has_the_last_word() -> None:
    """Cancelled while an answer was on its way: there is no answer."""
    ended = {"fault_code": "cancelled", "fault_message": "Cancelled before it was done."}
    result = result_of(ended, result_json(Answer(text="too late")))
    assert result == Result(fault=Fault(code="cancelled", message="Cancelled before it was done."))


def test_a_dead_job_quotes_its_last_fault() -> None:
    last = result_json(Fault(code="engine_fault", message="The card fell silent."))
    record = {"fault_code": "dead", "fault_message": "Given up after 4 attempts.", "last_result": last}
    fault = result_of(record, "").fault
    assert fault is not None
    assert fault.message == "Given up after 4 attempts. The last one said: The card fell silent."
    crashed = result_of({**record, "last_result": ""}, "").fault
    assert crashed is not None
    assert crashed.message == "Given up after 4 attempts."


def test_nothing_committed_is_no_result() -> None:
    assert result_of({}, "") == Result()
