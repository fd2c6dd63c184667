"""Which model exactly is served: its revision, and how its weights are stored."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from test_placement_reading import LLAMA, TENSORS, gguf
from viiwork.bigrun.methods import methods
from viiwork.bigrun.record import Engine, RunRecord
from viiwork.bigrun.setup import Setup, changed
from viiwork.documents.signatures import signatures
from viiwork.jobs import Result
from viiwork.models.record import FileRecord, ModelRecord, write_record
from viiwork.placement.identity import SAMPLE_BYTES, identify
from viiwork.store.records import row_of
from viiwork.work import AnalysisTask, Answer, TaskOptions
from viiwork_workers.engines.base import EngineFacts, Signals, signed

COMMIT = "0123456789abcdef" * 2 + "01234567"
AWQ = {"quantization_config": {"quant_method": "awq", "bits": 4, "group_size": 128}}


def model(folder: Path, **config: Any) -> Path:
    """A directory with a configuration and weights."""
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "model.safetensors").write_bytes(bytes(4 * SAMPLE_BYTES))
    return folder


def test_what_was_pulled_has_the_hubs_commit(tmp_path: Path) -> None:
    """Also a file in it; and what lies in a hub's own cache."""
    folder = model(tmp_path / "pulled")
    files = (FileRecord(path="config.json", size=2, sha256="0" * 64),)
    revisions = {"main": "2026-11-22T00:00:00Z"}
    write_record(folder, ModelRecord(repo="a/b", revisions=revisions, commit=COMMIT, source="https://hub", files=files))
    assert identify(folder).revision == identify(folder / "model.safetensors").revision == COMMIT
    assert identify(model(tmp_path / "models--a--b" / "snapshots" / COMMIT)).revision == COMMIT


def test_a_directory_of_ones_own_has_a_digest_of_its_files(tmp_path: Path) -> None:
    """The same for a copy; another for other weights of the same size, and for another configuration."""
    first = model(tmp_path / "first")
    copy = Path(shutil.copytree(first, tmp_path / "copy"))
    revision = identify(first).revision
    assert revision.startswith("files-")
    assert identify(copy).revision == revision
    weights = bytearray((copy / "model.safetensors").read_bytes())
    weights[-1] = 1
    (copy / "model.safetensors").write_bytes(weights)
    assert identify(copy).revision != revision
    assert identify(model(tmp_path / "other", vocab_size=7)).revision != revision


@pytest.mark.parametrize(
    ("config", "command", "told"),
    [
        (AWQ, (), "awq int4, groups of 128"),
        ({"quantization_config": {"quant_method": "fp8"}}, (), "fp8"),
        ({"torch_dtype": "bfloat16"}, (), "bfloat16"),
        ({}, ("serve", "--quantization", "fp8"), "fp8, by the engine"),
        ({}, (), ""),
        ({"quantization_config": 7}, (), ""),
    ],
)
def test_its_configuration_tells_how_weights_are_stored(
    tmp_path: Path, config: dict[str, Any], command: tuple[str, ...], told: str
) -> None:
    """Else the engine's command, else nobody."""
    assert identify(model(tmp_path / "m", **config), command).quantization == told


def test_a_gguf_file_tells_its_type(tmp_path: Path) -> None:
    file = tmp_path / "any.gguf"
    file.write_bytes(gguf(LLAMA, TENSORS))
    assert identify(file).quantization == "Q4_K_M"
    assert identify(file).revision.startswith("files-")


def test_a_row_tells_the_worker_that_answered() -> None:
    """Its engine's version as the engine says it now; and nothing that nobody knows."""
    facts = EngineFacts("vLLM", "m", 1, 1024, "t", revision=COMMIT, quantization="fp8", version="0")
    root = {"item_state": "succeeded", "attempt": "2"}
    for said, version in ((Signals(version="0.32.0"), "0.32.0"), (None, "0")):
        made = row_of("an_1-0", root, Result(answer=signed(Answer(text="yes"), facts, said))).made
        assert made is not None
        assert (made.revision, made.quantization, made.engine_version) == (COMMIT, "fp8", version)
    unknown = signed(Answer(text="yes"), EngineFacts("url", "m", 1, 1024, "t"), Signals())
    assert (unknown.revision, unknown.quantization, unknown.engine_version) == (None, None, None)


def test_a_document_in_parts_tells_all_that_gave_them() -> None:
    """The model was exchanged for another revision in the middle."""
    old, new = Answer(text="a", revision="1", quantization="fp8"), Answer(text="b", revision="2", quantization="fp8")
    both = {"revision": "1 and 2", "quantization": "fp8", "engine_version": None}
    assert signatures((old, new, old)) == both
    assert signatures((old.model_copy(update=both), new)) == both


def test_another_revision_or_quantization_is_named_where_both_are_known() -> None:
    """A record of an earlier version does not say; then nobody can tell that it is another."""
    before = Setup(task=AnalysisTask.CLASSIFY, model="m", revision="1", quantization="fp8")
    now = before.model_copy(update={"revision": "2", "quantization": "Q4_K_M"})
    assert changed(before, now) == ("the model's revision (1, now 2)", "the quantization (fp8, now Q4_K_M)")
    assert changed(before.model_copy(update={"revision": "", "quantization": ""}), now) == ()


def test_the_paragraph_names_revision_weights_and_the_engines_version() -> None:
    setup = Setup(task=AnalysisTask.CLASSIFY, model="m", revision=COMMIT, quantization="fp8")
    record = RunRecord(
        output="rows.jsonl",
        paths=(),
        task=AnalysisTask.CLASSIFY,
        options=TaskOptions(),
        setup=setup,
        engine=Engine(engine="vLLM", version="0.32.0"),
    )
    assert f"The model was m (revision {COMMIT}, fp8), served by vLLM 0.32.0." in methods(record)
