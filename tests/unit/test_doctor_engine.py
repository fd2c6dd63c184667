"""Checks of the engine in `viiwork doctor`: when each is content, and how the facts are gathered."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from viiwork.doctor import EngineFacts, Verdict
from viiwork.doctor.engine import CHECKS, engine, memory
from viiwork.doctor.finding import GIB
from viiwork.errors import SettingsError
from viiwork.fleet.engineroom import engine_facts
from viiwork.settings import EngineSection, FleetSection, Settings, WorkersSection

READY = EngineFacts(title="vLLM (CPU)", alias="tiny", needs_bytes=GIB, available_bytes=8 * GIB)
ON_CARDS = EngineFacts(title="vLLM (gfx906)", alias="tiny", cards_wanted=2)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A model's directory with a gibibyte of weights that takes no room on the disk."""
    folder = tmp_path / "tiny"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps({"max_position_embeddings": 2048}))
    (folder / "tokenizer.json").write_text("{}")
    with (folder / "model.safetensors").open("wb") as weights:
        weights.truncate(GIB)
    return folder


@pytest.fixture
def python(tmp_path: Path) -> Path:
    """An interpreter that has vLLM, by what lies in its folders."""
    found = tmp_path / "v/bin/python"
    found.parent.mkdir(parents=True)
    found.touch(mode=0o755)
    (tmp_path / "v/lib/python3.11/site-packages/vllm").mkdir(parents=True)
    return found


def settings_of(place: Path, *, gpus: int = 0, cpus: int = 1, **engine: object) -> Settings:
    return Settings(
        engine=EngineSection.model_validate(engine),
        workers=WorkersSection(gpus=gpus, cpus=cpus),
        fleet=FleetSection(state_dir=place / "state"),
    )


def test_an_engine_that_is_all_there_passes_every_check() -> None:
    for facts in (READY, ON_CARDS, EngineFacts(title="extractive", alias="")):
        assert {check(facts).verdict for check in CHECKS} == {Verdict.OK}


def test_what_up_would_refuse_is_said_with_what_to_do() -> None:
    finding = engine(EngineFacts(title="vllm", alias="", error=SettingsError("no.", hint="do.")))
    assert (finding.verdict, finding.found, finding.advice) == (Verdict.FAIL, "no.", "do.")


def test_engines_that_do_not_fit_into_memory_are_warned_of() -> None:
    finding = memory(EngineFacts(title="x", alias="x", needs_bytes=9 * GIB, available_bytes=8 * GIB))
    assert finding.verdict is Verdict.WARN
    assert "9.0 GiB needed" in finding.found


def test_the_memory_of_all_engines_on_the_cpu_is_counted(model: Path, python: Path, tmp_path: Path) -> None:
    """Weights, keys and values, and what the program itself takes, twice."""
    facts = engine_facts(settings_of(tmp_path, cpus=2, kind="vllm", model=str(model), python=python), {})
    assert (facts.error, facts.title, facts.alias, facts.cards_wanted) == (None, "vLLM (CPU)", "tiny", 0)
    assert facts.needs_bytes > 2 * GIB
    assert facts.available_bytes > 0


def test_an_engine_on_cards_takes_none_of_the_hosts_memory(model: Path, python: Path, tmp_path: Path) -> None:
    settings = settings_of(tmp_path, gpus=2, kind="vllm-gfx906", model=str(model), python=python)
    facts = engine_facts(settings, {})
    assert (facts.cards_wanted, facts.needs_bytes) == (2, 0)


def test_a_wrong_engine_is_a_fact_and_no_fault(tmp_path: Path) -> None:
    assert "no engine 'vlm'" in str(engine_facts(settings_of(tmp_path, kind="vlm"), {}).error)
    assert engine_facts(settings_of(tmp_path, kind="noop", alias="n"), {}).alias == "n"


def test_memory_that_was_not_reckoned_is_not_called_ok() -> None:
    """Nothing is known of an engine that could not be started."""
    finding = memory(EngineFacts(title="vllm", alias="", error=SettingsError("no.", hint="do.")))
    assert (finding.verdict, finding.found.startswith("not checked"), bool(finding.advice)) == (
        Verdict.WARN,
        True,
        True,
    )
