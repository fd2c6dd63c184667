"""Real vLLM keeps the same promises as every other engine."""

from __future__ import annotations

import pytest

from tests.kit.case import Case, cases
from tests.kit.promises import Promises, case, engine
from tests.kit.works import INCOMPLETE, step
from tests.kit.writing import Writing
from tests.vllm.tiny import START_S, engine_section

__all__ = ["case", "engine"]
VLLM = {
    "vllm": Case(
        engine_section(args=("--enable-auto-tool-choice", "--tool-call-parser", "hermes")),
        writes=True,
        repeats=False,  # what else is in the batch moves its sums, and with random weights each token after that
        shapes=frozenset({"json_schema", "json_object", "regex", "choice"}),
        calls_tools=True,
        refused=(*INCOMPLETE, step("word " * 9_000)),
        killable=True,
        start_s=START_S,
    )
}
pytestmark = pytest.mark.timeout(START_S * 2)


@cases(VLLM)
class TestVllm(Promises, Writing):
    pass
