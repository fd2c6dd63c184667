"""Which answers can be kept and read again."""

from __future__ import annotations

import warnings
from typing import Any

import pytest

from viiwork.errors import EngineFault
from viiwork.jobs import Result
from viiwork.store.records import result_json
from viiwork.work import Answer
from viiwork_workers.proof import prove


def nested(levels: int) -> list[Any]:
    made: list[Any] = []
    for _ in range(levels - 1):
        made = [made]
    return made


def with_(**fields: Any) -> Answer:
    """As an engine may make it that checks nothing."""
    return Answer(text="x").model_copy(update=fields)


@pytest.mark.parametrize(
    "fields",
    [
        {"value": nested(190)},
        {"value": nested(260)},
        {"value": nested(5_000)},
        {"value": {"a": "\ud800"}},
        {"logprobs": ["secret"]},
        {"logprobs": "secret"},
        {"logprobs": {"token": "\ud800"}},
        {"tool_calls": ("secret",)},
        {"tool_calls": ({"id": object()},)},
        {"embeddings": ((1.0,), (1.0, 2.0))},
        {"embeddings": ((float("nan"),),)},
        {"embeddings": (("secret",),)},
    ],
)
def test_what_no_record_can_hold_is_the_engines_fault(fields: dict[str, Any]) -> None:
    """And quotes nothing, on no way: a serializer that warns would tell the answer to standard error."""
    with warnings.catch_warnings(record=True) as told, pytest.raises(EngineFault) as caught:
        warnings.simplefilter("always")
        prove(with_(**fields))
    assert "secret" not in str(caught.value)
    assert told == []


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"value": nested(100)},
        {"value": {"a": 10**4_000}},
        {"logprobs": {"content": [{"token": "é", "logprob": -0.5}]}},
        {"tool_calls": ({"id": "1", "function": {"name": "f", "arguments": "{}"}},)},
        {"embeddings": ((1.0, 2.0), (3.0, 4.0))},
    ],
)
def test_what_is_proven_can_be_read_again(fields: dict[str, Any]) -> None:
    """As it was."""
    answer = with_(**fields)
    prove(answer)
    assert Result.model_validate_json(result_json(answer)).answer == answer
