"""An answer that is handed on while it is written, and cannot be taken back."""

from __future__ import annotations

import pytest

from viiwork import Client
from viiwork.client.asking import Text, answered
from viiwork.errors import EngineError, EngineFault, UsageError
from viiwork.jobs import Fault, State, Status


def heard(pieces: list[str], again: list[str]) -> str:
    text = Text()
    had = "".join(text.more(piece) for piece in pieces)
    text.begin_again()
    had += "".join(text.more(piece) for piece in again)
    text.end()
    return had


@pytest.mark.parametrize("again", [["one two three four"], ["o", "ne two", " three four"], list("one two three four")])
def test_an_answer_that_begins_again_with_the_same_words_is_read_on(again: list[str]) -> None:
    """However it is cut."""
    assert heard(["one ", "two thr"], again) == "one two three four"


@pytest.mark.parametrize("again", [["one tooth"], ["one "], [], ["three"]])
def test_another_answer_is_an_error(again: list[str]) -> None:
    """Half of each would be nobody's answer."""
    with pytest.raises(EngineFault, match="Ask again") as caught:
        heard(["one ", "two"], again)
    assert (caught.value.code, caught.value.retryable) == ("answer_restarted", True)


def test_a_job_without_an_answer_is_the_error_that_it_ended_with() -> None:
    """Its code, its message, what to do; or how it ended."""
    job = Status.model_construct(state=State.FAILED, error=Fault(code="context_length", message="Long.", hint="Cut."))
    with pytest.raises(EngineError, match=r"Long\. Cut\.") as caught:
        answered(job)
    assert caught.value.code == "context_length"
    with pytest.raises(EngineError, match="ended as cancelled"):
        answered(Status.model_construct(state=State.CANCELLED, error=None))


def test_nothing_is_no_question() -> None:
    with Client("http://127.0.0.1:1") as client, pytest.raises(UsageError, match="question"):
        list(client.ask(" "))
