"""Bodies that are wrong in a million places: what is refused must not be looked at piece by piece first."""

from __future__ import annotations

import json

import pytest
from pydantic import BaseModel, ValidationError

from viiwork.api.bodies import MOST_FAULTS
from viiwork.api.lines import BadLine, Line, parse_line
from viiwork.api.openai.bodies import ChatBody, CompletionBody, EmbeddingBody
from viiwork.api.orders import NOTES
from viiwork.api.problems import wrong_field
from viiwork.api.requests import AnalysisBody, JobBody
from viiwork.errors import TooLarge, UsageError
from viiwork.settings import ApiSection

MANY = MOST_FAULTS + 1
TEXTS = ["a", *[1] * MANY]


def refused(kind: type[BaseModel], body: object) -> ValidationError:
    with pytest.raises(ValidationError) as said:
        kind.model_validate_json(json.dumps(body))
    return said.value


@pytest.mark.parametrize(
    ("kind", "body", "field"),
    [
        (AnalysisBody, {"task": "summarize", "documents": [1] * MANY}, "documents.0"),
        (JobBody, {"messages": [1] * MANY}, "messages.0"),
        (JobBody, {"input": TEXTS}, "input.1"),
        (ChatBody, {"model": "m", "messages": [1] * MANY}, "messages.0"),
        (CompletionBody, {"model": "m", "prompt": TEXTS}, "prompt.1"),
        (EmbeddingBody, {"model": "m", "input": TEXTS}, "input.1"),
    ],
)
def test_a_list_is_refused_for_its_first_fault(kind: type[BaseModel], body: object, field: str) -> None:
    """The others are not looked at."""
    error = refused(kind, body)
    assert error.error_count() < 4
    assert wrong_field(error, of=kind).param == field


def test_faults_without_number_are_counted_and_not_listed() -> None:
    """A field each: to list 300,000 took 500 MB."""
    flood = {f"field{n}": n for n in range(MANY)} | {"prompt": "a"}
    told = wrong_field(refused(JobBody, flood), of=JobBody)
    assert str(told) == f"The body is not valid: it is wrong in {MANY:,} places."
    with pytest.raises(BadLine, match="line 7: it is wrong in"):
        parse_line(Line(7, json.dumps(flood).encode()))


def test_too_many_documents_are_refused_before_the_first_is_looked_at() -> None:
    """By the limit that is set, which the message names."""
    limits = ApiSection(max_documents=5)
    body = json.dumps({"task": "summarize", "documents": [1] * 6})
    with pytest.raises(TooLarge, match=r"api\.max_documents"):
        AnalysisBody.model_validate_json(body, context=limits)


def test_so_are_notes_on_more_files_than_came() -> None:
    with pytest.raises(UsageError, match="speaks of 6 files, but 5 came"):
        NOTES.validate_json(json.dumps([1] * 6), context=5)
