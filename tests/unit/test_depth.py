"""How deep an answer may be nested that is asked for as JSON."""

from __future__ import annotations

import pytest

from viiwork.errors import JobRefused
from viiwork.work import Answer, Shape
from viiwork_workers.engines.server.shapes import MOST_LEVELS, held
from viiwork_workers.proof import prove

SHAPES = (Shape(json_object=True), Shape(json_schema={}))


def nested(levels: int) -> str:
    """An object, and lists in it."""
    return '{"a":' + "[" * (levels - 1) + "]" * (levels - 1) + "}"


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("levels", [MOST_LEVELS + 1, 205, 260, 900])
async def test_an_answer_that_nobody_could_read_again_is_refused(shape: Shape, levels: int) -> None:
    """The store's parser goes 200 levels deep, the writer 255."""
    with pytest.raises(JobRefused) as refused:
        await held(shape, nested(levels), finish_reason="stop")
    assert refused.value.code == "invalid_output"


@pytest.mark.parametrize("shape", SHAPES)
async def test_an_answer_may_be_as_deep_as_anybody_needs(shape: Shape) -> None:
    """And as wide."""
    prove(Answer(text="", value=await held(shape, nested(MOST_LEVELS), finish_reason="stop")))
    wide = '{"a":[' + ",".join(["[]"] * 1_000) + "]}"
    assert len((await held(shape, wide, finish_reason="stop"))["a"]) == 1_000
