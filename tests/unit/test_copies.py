"""What a document came to, and whether that holds for another one of the same content."""

from __future__ import annotations

import pytest

from viiwork.errors import DocumentError
from viiwork.jobs import Fault, Result, State
from viiwork.store.reading import Settled
from viiwork_workers.items import answer_of


def failed(code: str, state: State = State.FAILED) -> Settled:
    return Settled(state, Result(fault=Fault(code=code, message="It has none.")), holds=False)


@pytest.mark.parametrize("code", ["damaged", "invalid_output", "incomplete"])
def test_what_the_content_or_the_model_is_the_reason_of_holds_for_copies(code: str) -> None:
    """Eight copies of a hopeless document were asked eight times, and each time repaired once."""
    with pytest.raises(DocumentError, match="It has none"):
        answer_of(failed(code))


@pytest.mark.parametrize("code", ["crash", "timeout", "unreadable", "engine_fault"])
def test_other_reasons_say_nothing_of_copies(code: str) -> None:
    assert answer_of(failed(code)) is None
    assert answer_of(failed("invalid_output", State.CANCELLED)) is None
