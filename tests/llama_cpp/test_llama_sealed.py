"""A real llama-server sends nothing out, and what it is asked shows in no log: not even a schema that it cannot use."""

from __future__ import annotations

from pathlib import Path

from tests.llama_cpp.conftest import MODEL
from tests.llama_cpp.tiny import ALIAS, CONTEXT, SLOTS, environ
from tests.sealing import KEPT_IN, sealed_day

ENGINE = ("--engine", "llama-cpp", "--model", str(MODEL), "--alias", ALIAS, "--cpus", "1", "--readers", "1")
SIZE = ("--slots", str(SLOTS), "--context", str(CONTEXT))


def test_a_day_with_a_real_engine_and_no_way_out(tmp_path: Path) -> None:
    """Its own words about schemas and grammars were there, and are blotted out."""
    told = sealed_day(tmp_path, *ENGINE, *SIZE, environ=environ())
    assert told["would_be_seen"] >= 1
    assert told["sent_out"] == 0
    assert told["argv"] == []
    found = told["found"]
    assert found["redis"], "it would prove nothing that never was found"
    assert set(found.pop("redis")) <= KEPT_IN
    assert found == {"files": [], "flower": [], "figures": [], "events": []}
    assert told["blotted"] == {"schema": True, "grammar": True}
