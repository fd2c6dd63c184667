"""A real llama-server keeps the same promises as every other engine."""

from __future__ import annotations

from tests.kit.case import Case, cases
from tests.kit.lives import Lives
from tests.kit.promises import Promises, case, engine
from tests.kit.works import INCOMPLETE, step
from tests.kit.writing import Writing
from tests.llama_cpp.tiny import engine_section, environ

__all__ = ["case", "engine"]
LLAMA_CPP = {
    "llama.cpp": Case(
        engine_section(),
        writes=True,
        repeats=False,  # what else is in the batch moves its sums, and with random weights each token after that
        shapes=frozenset({"json_schema", "json_object", "choice"}),
        refused=(*INCOMPLETE, step("word " * 9_000)),
        killable=True,
        environ=environ(),
    )
}


@cases(LLAMA_CPP)
class TestLlamaCpp(Promises, Writing):
    pass


@cases(LLAMA_CPP)
class TestLlamaCppLives(Lives):
    pass
