"""The demonstration's verdict sees every way in which an analysis of the samples can be wrong."""

from __future__ import annotations

from typing import Any

from samples.verdict import judge

QUESTION = "What is the notice period?"
FILES: dict[str, dict[str, Any]] = {
    "lease.docx": {"label": "contract", "facts": {QUESTION: ["three months"]}, "bad": None},
    "empty.txt": {"label": None, "facts": {}, "bad": "empty"},
}
ANSWERED = {"document": "lease.docx", "answer": {"text": "Three: three months.", "label": "contract"}}
REFUSED = {"document": "empty.txt", "error": {"code": "empty", "message": "The file has no content."}}


def test_answers_for_the_good_and_reasons_for_the_broken_files_are_no_cause_for_complaint() -> None:
    """The line counts what was found."""
    verdict = judge("ask", [ANSWERED, REFUSED], FILES, question=QUESTION)
    assert verdict.complaints == ()
    assert verdict.line.endswith("1 of 1 answers hold the expected fact")


def test_labels_are_counted() -> None:
    """A wrong label is a miss, not a failure of the fleet."""
    wrong = ANSWERED | {"answer": {"text": "letter", "label": "letter"}}
    verdict = judge("classify", [wrong, REFUSED], FILES, question=QUESTION)
    assert verdict.complaints == ()
    assert verdict.line.endswith("0 of 1 labels are the expected ones")


def test_a_good_file_without_an_answer_is_named_with_its_reason() -> None:
    """So that the reader knows where to look."""
    failed = {"document": "lease.docx", "error": {"code": "damaged"}}
    assert judge("ask", [failed, REFUSED], FILES, question=QUESTION).complaints == (
        "lease.docx: has no answer (damaged)",
    )


def test_a_broken_file_must_fail_with_its_own_reason() -> None:
    """Another reason, or an answer, is wrong."""
    other = {"document": "empty.txt", "error": {"code": "crash"}}
    answered = {"document": "empty.txt", "answer": {"text": "something"}}
    assert judge("ask", [ANSWERED, other], FILES, question=QUESTION).complaints == (
        "empty.txt: should be empty, is crash",
    )
    assert judge("ask", [ANSWERED, answered], FILES, question=QUESTION).complaints == (
        "empty.txt: should be empty, is answered",
    )


def test_missing_and_unknown_rows_are_named() -> None:
    """Neither may pass unseen."""
    stranger = {"document": "stranger.txt", "answer": {"text": "x"}}
    assert judge("ask", [ANSWERED, stranger], FILES, question=QUESTION).complaints == (
        "empty.txt: has no row",
        "stranger.txt: is not on the list",
    )


def test_what_is_attached_must_have_an_answer_of_its_own() -> None:
    files = {"lease.docx": FILES["lease.docx"] | {"holds": ["plan.txt"]}}
    plan = {"document": "lease.docx/plan.txt", "answer": {"text": "a plan", "label": "contract"}}
    assert judge("classify", [ANSWERED, plan], files, question=QUESTION).line.endswith(
        "1 of 1 labels are the expected ones"
    )
    assert judge("ask", [ANSWERED], files, question=QUESTION).complaints == ("lease.docx/plan.txt: has no row",)
