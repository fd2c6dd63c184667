"""What the CPU lane makes of a document before any engine sees it."""

from __future__ import annotations

from typing import Any

import pytest

from viiwork.documents import Document, Limits
from viiwork.documents.room import Room
from viiwork.documents.unfold import worded
from viiwork.errors import DocumentError
from viiwork.jobs import Fault, Result, State
from viiwork.store.reading import Settled
from viiwork.work import About, AnalysisTask, Answer, MergeInput, ReadInput, Usage
from viiwork_workers.items import answer_of, stands_for
from viiwork_workers.readers import ReaderSteps, _about


def test_a_part_without_a_word_is_not_sent_to_an_engine() -> None:
    """Rules and dot leaders are ordinary content; they must not fail a document that has good parts."""
    words = "Every sentence here has some words. " * 40
    document = Document(media_type="text/plain", pages=(words + ". " * 4000 + words,))
    parts = worded(document, Room(100, 0, False, lambda text: len(text) // 4))
    assert parts
    assert all(any(map(str.isalnum, part.text)) for part in parts)
    assert sum(part.text.count("sentence") for part in parts) == 80


def test_a_document_of_nothing_but_marks_has_no_part() -> None:
    document = Document(media_type="text/plain", pages=("* * *\n" * 50,))
    assert worded(document, Room(100, 0, False, lambda text: len(text) // 4)) == []


def test_what_a_document_says_of_itself_reaches_its_row() -> None:
    """Title, author, day and language go with the answer, whoever put it together."""
    about = About(title="Lease", author="Ada", created="2024-02-29", language="en")
    document = Document(media_type="x", pages=("x",), title="Lease", author="Ada", created="2024-02-29", language="en")
    assert _about(document) == about
    work = MergeInput(parts=("a",), task=AnalysisTask.SUMMARIZE, model="m", about=about, pages=1, notes=("n",))
    unused: Any = None  # only answers of trees with levels below are looked up in the store
    finished = ReaderSteps(unused, limits=Limits(), max_documents=9)._finish(work, Answer(text="x"))
    assert (finished.about, finished.notes) == (about, ("n",))


ANSWER = Answer(text="yes", usage=Usage(prompt_tokens=9, output_tokens=3))


def test_a_copy_has_the_answer_of_the_first_and_has_used_nothing() -> None:
    first = Settled(State.SUCCEEDED, Result(answer=ANSWER), holds=False)
    assert answer_of(first) == ANSWER.model_copy(update={"usage": Usage()})


@pytest.mark.parametrize("code", ["encrypted", "damaged", "empty", "zip_bomb"])
def test_a_copy_of_what_cannot_be_read_cannot_be_read(code: str) -> None:
    fault = Fault(code=code, message="It cannot be read.", hint="Do something.")
    with pytest.raises(DocumentError) as caught:
        answer_of(Settled(State.FAILED, Result(fault=fault), holds=False))
    assert (caught.value.code, caught.value.hint) == (code, "Do something.")


@pytest.mark.parametrize(
    ("state", "code"), [(State.DEAD, "dead"), (State.FAILED, "timeout"), (State.CANCELLED, "cancelled")]
)
def test_a_copy_of_what_failed_for_another_reason_is_tried_for_itself(state: State, code: str) -> None:
    assert answer_of(Settled(state, Result(fault=Fault(code=code, message="x")), holds=False)) is None


@pytest.mark.parametrize(
    ("first", "holds", "way", "settled"),
    [
        ("an_x-0", False, (), True),
        ("an_x-0", True, (), False),
        ("an_x-0z3", False, (), False),
        ("an_x-0z3", False, (4,), True),
        ("an_x-0", True, (4,), True),
    ],
)
def test_a_copy_is_opened_where_something_may_be_attached_to_it(
    first: str, holds: bool, way: tuple[int, ...], settled: bool
) -> None:
    """A message in an archive says nothing of its attachments; a message by itself must."""
    work = ReadInput(name="a.eml", blob="b", way=way, task=AnalysisTask.SUMMARIZE, model="m")
    assert stands_for(first, Settled(State.SUCCEEDED, Result(answer=ANSWER), holds=holds), work) is settled
