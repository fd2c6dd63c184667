"""An engine in a container keeps the same promises as every other one."""

from __future__ import annotations

from functools import partial

from tests.docker.boxed import boxed_section
from tests.kit.case import Case, cases
from tests.kit.faults import Faults
from tests.kit.lives import Lives
from tests.kit.promises import Promises, case, engine
from tests.kit.works import INCOMPLETE, step
from tests.kit.writing import Writing

__all__ = ["case", "engine"]
BOXED = {
    "container": Case(
        partial(boxed_section, flags=("--token-s", "0.002", "--load-s", "0.3")),
        writes=True,
        shapes=frozenset({"json_schema", "json_object", "regex", "choice"}),
        calls_tools=True,
        refused=(*INCOMPLETE, step("word " * 9_000)),
        killable=True,
        start_s=60.0,
    )
}


@cases(BOXED)
class TestContainer(Promises, Writing, Faults):
    pass


@cases(BOXED)
class TestContainerLives(Lives):
    pass
