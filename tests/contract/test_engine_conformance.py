"""Every engine that runs without a card keeps the promises of `tests.kit`; the real ones do so in `tests/vllm`."""

from __future__ import annotations

from functools import partial

from tests.fakes.launching import DIALECTS, engine_section
from tests.kit.case import Case, Shaping, cases
from tests.kit.faults import Faults
from tests.kit.lives import Lives
from tests.kit.promises import Promises, case, engine
from tests.kit.works import INCOMPLETE, chat, step
from tests.kit.writing import Writing
from viiwork.recipes import Dialect

__all__ = ["case", "engine"]
TOO_LONG = step("word " * 9_000)
SCALE = {"kind": "simulated", "time_scale": 0.001}
CASES = {
    "extractive": Case(
        {"kind": "extractive"},
        refused=(*INCOMPLETE, chat(), step("word " * 300_000)),
        scores=True,
        notice=True,
    ),
    "simulated": Case(SCALE, refused=(*INCOMPLETE, TOO_LONG), scores=True, notice=True),
    "process": Case(
        SCALE | {"process": True}, refused=(*INCOMPLETE, TOO_LONG), scores=True, notice=True, killable=True
    ),
    "noop": Case({"kind": "noop"}, counts_tokens=False, notice=True),
}
JSON: frozenset[Shaping] = frozenset({"json_schema", "json_object"})
SHAPED: dict[Dialect, frozenset[Shaping]] = {
    "openai": JSON,
    "vllm": JSON | {"regex", "choice"},
    "llama.cpp": JSON | {"choice"},
    "tgi": frozenset({"json_schema", "regex", "choice"}),
    "mlc": JSON,
}
SLOWLY = ("--token-s", "0.002", "--load-s", "0.3")


def fake(dialect: Dialect) -> Case:
    """The fake server, through the recipe of the real one, a real guard and the real client."""
    return Case(
        partial(engine_section, dialect=dialect, flags=SLOWLY),
        writes=True,
        versioned=dialect not in ("openai", "mlc"),
        shapes=SHAPED[dialect],
        calls_tools=dialect != "llama.cpp",
        refused=(*INCOMPLETE, TOO_LONG),
        killable=True,
        holds="[[hang 8]] ",
    )


FAKES: dict[str, Case] = {dialect: fake(dialect) for dialect in DIALECTS}


@cases(CASES)
class TestBuiltIn(Promises):
    pass


@cases(CASES)
class TestBuiltInLives(Lives):
    pass


@cases(FAKES)
class TestFake(Promises, Writing, Faults):
    pass


@cases(FAKES)
class TestFakeLives(Lives):
    pass
