"""What a model's files say of it, and what an engine refuses before it is started."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from viiwork.devices.amd import NODES
from viiwork.errors import SettingsError, StartupError, ViiworkError
from viiwork.jobs import MODEL_PATTERN
from viiwork.recipes.check import check_cards, check_engine, check_fleet
from viiwork.recipes.load import load_recipe
from viiwork.recipes.meant import meant
from viiwork.recipes.modelfacts import USUAL_KV_BYTES, alias_of, kv_bytes, look_at
from viiwork.recipes.programs import find_program, has_module
from viiwork.settings import EngineSection, FleetSection, Settings

LLAMA = {"num_hidden_layers": 4, "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 64, "hidden_size": 256}
Complaint = Callable[..., str]


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A model's directory, but for its weights."""
    folder = tmp_path / "Tiny-Model"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps({"max_position_embeddings": 2048, **LLAMA}))
    (folder / "tokenizer.json").write_text("{}")
    (folder / "tokenizer_config.json").write_text('{"chat_template": "x"}')
    (folder / "model.safetensors").write_bytes(b"x" * 10)
    return folder


@pytest.fixture
def vllm(tmp_path: Path) -> Path:
    """An interpreter that has vLLM, by what lies in its folders."""
    python = tmp_path / "v" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text("#!/bin/false\n")
    python.chmod(0o755)
    (tmp_path / "v/lib/python3.11/site-packages/vllm").mkdir(parents=True)
    return python


@pytest.fixture
def complaint(tmp_path: Path) -> Complaint:
    """The one line that an engine is refused with."""

    def refused(kind: str, worker: str = "cpu0", **engine: object) -> str:
        section = EngineSection.model_validate({"kind": kind, **engine})
        settings = Settings(engine=section, fleet=FleetSection(state_dir=tmp_path / "state"))
        with pytest.raises(ViiworkError) as caught:
            check_engine(settings, worker=worker, environ={"PATH": str(tmp_path / "bin")}, near=tmp_path)
        assert caught.value.exit_code == 2
        line = str(caught.value)
        assert "\n" not in line
        return line

    return refused


def test_a_models_directory_tells_context_tokenizer_and_chat_template(model: Path) -> None:
    facts = look_at(model)
    assert (facts.path, facts.tokenizer) == (str(model), str(model))
    assert (facts.context_tokens, facts.chat_template, facts.kv_bytes, facts.weights_bytes) == (2048, True, 2048, 10)


def test_a_model_of_several_senses_keeps_its_text_part_in_a_part_of_its_own(model: Path) -> None:
    (model / "config.json").write_text(json.dumps({"text_config": {"max_position_embeddings": 4096, **LLAMA}}))
    facts = look_at(model)
    assert (facts.context_tokens, facts.kv_bytes) == (4096, 2048)


def test_a_model_without_tokenizer_json_or_known_sizes_says_so(model: Path) -> None:
    (model / "tokenizer.json").unlink()
    (model / "config.json").write_text('{"max_position_embeddings": "long"}')
    facts = look_at(model)
    assert (facts.tokenizer, facts.context_tokens, facts.kv_bytes) == ("", None, USUAL_KV_BYTES)


def test_a_gguf_file_tells_only_its_size_with_all_its_parts(tmp_path: Path) -> None:
    for number in (1, 2):
        (tmp_path / f"m-0000{number}-of-00002.gguf").write_bytes(b"GGUF1")
    facts = look_at(tmp_path / "m-00001-of-00002.gguf")
    assert (facts.weights_bytes, facts.context_tokens, facts.tokenizer) == (10, None, "")


def test_mistral_7b_keeps_128_kib_a_token() -> None:
    mistral = {"num_hidden_layers": 32, "num_attention_heads": 32, "num_key_value_heads": 8, "hidden_size": 4096}
    assert kv_bytes(mistral) == 128 * 1024


@pytest.mark.parametrize(
    ("name", "alias"),
    [
        ("Qwen/Qwen3-8B-AWQ@abc", "qwen3-8b-awq"),
        ("/models/Qwen3-8B/", "qwen3-8b"),
        ("gpt2", "gpt2"),
        ("a/b/Mistral.Q4_K_M.gguf", "mistral.q4_k_m"),
        ("./big-00001-of-00003.gguf", "big"),
        ("/c/models--Qwen--Qwen3-8B/snapshots/0123abc", "qwen3-8b"),
        (f"/m/Qwen--Qwen3-8B/{'0' * 40}/", "qwen3-8b"),
        ("Weird name (ü)", "weird-name"),
        ("_hidden", "hidden"),
        ("x" * 90, "x" * 64),
    ],
)
def test_a_models_name_becomes_a_name_to_serve_it_under(name: str, alias: str) -> None:
    assert alias_of(name) == alias
    assert re.match(MODEL_PATTERN, alias)


@pytest.mark.parametrize(
    ("wanted", "names", "name"),
    [
        ("tiny", ("models/Tiny.gguf", "模型"), "models/Tiny.gguf"),
        ("tiny", ("models/tiny.gguf", "tiny"), "tiny"),
        ("models/tiny.gguf", ("models/tiny.gguf", "other/tiny.gguf"), "models/tiny.gguf"),
        ("tiny", ("models/tiny.gguf", "other/tiny.gguf"), ""),
        ("tiny", ("models/tiny.gguf", "models/tiny.gguf"), "models/tiny.gguf"),
        ("Tiny", ("models/tiny.gguf",), ""),
        ("", ("模型",), ""),
        ("tiny", (), ""),
    ],
)
def test_a_servers_model_is_meant_by_its_own_name_or_by_the_one_that_is_shown_if_only_one_has_it(
    wanted: str, names: tuple[str, ...], name: str
) -> None:
    assert meant(wanted, names) == name


@pytest.mark.parametrize("name", ["", "///", "模型", "read"])
def test_a_name_of_which_nothing_can_stand_asks_for_another(name: str) -> None:
    with pytest.raises(SettingsError, match="--alias"):
        alias_of(name)


def test_all_there_is_needed(model: Path, vllm: Path, tmp_path: Path) -> None:
    section = EngineSection(kind="vllm", model=str(model), python=vllm)
    checked = check_engine(Settings(engine=section), worker="cpu0", environ={})
    assert (checked.recipe.title, checked.alias, checked.program) == ("vLLM (CPU)", "tiny-model", str(vllm))


def test_the_program_is_looked_for_first(complaint: Complaint, tmp_path: Path) -> None:
    """Each with what to install."""
    assert re.match(r"vLLM \(CPU\): no Python with `vllm` in it .* Make its environment with", complaint("vllm"))
    assert complaint("llama-cpp").startswith("llama.cpp: the program `llama-server` was not found. Install llama.cpp")
    assert "is no program" in complaint("vllm", python=tmp_path)
    assert "Text Generation Inference: the program" in complaint("tgi")


def test_an_interpreter_without_the_module_is_told_from_one_that_cannot_be_judged(vllm: Path) -> None:
    package = vllm.parent.parent / "lib/python3.11/site-packages/vllm"
    assert has_module(vllm, "vllm")
    package.rename(package.with_name("vllm-0.32.0.dist-info"))  # as an editable installation leaves it
    assert has_module(vllm, "vllm")
    package.with_name("vllm-0.32.0.dist-info").rmdir()
    with pytest.raises(StartupError, match="does not have `vllm` in it"):
        find_program(load_recipe("vllm"), python=vllm, environ={})
    package.parent.rmdir()
    assert find_program(load_recipe("vllm"), python=vllm, environ={}) == str(vllm)


def test_a_recipes_own_environment_is_found_beside_ours(vllm: Path, tmp_path: Path) -> None:
    (tmp_path / "v").rename(tmp_path / ".venv-vllm-cpu")
    found = find_program(load_recipe("vllm-cpu"), python=None, environ={}, near=tmp_path)
    assert found == str(tmp_path / ".venv-vllm-cpu/bin/python")


def test_a_model_that_will_not_do_is_told_with_what_to_do(
    complaint: Complaint, model: Path, vllm: Path, tmp_path: Path
) -> None:
    def said(path: object) -> str:
        return complaint("vllm", python=vllm, model=str(path))

    assert complaint("vllm", python=vllm).startswith("vLLM (CPU) needs a model. Name a directory")
    assert said(tmp_path / "no").startswith("there is no file or directory")
    assert "viiwork models pull Qwen/Qwen3-8B" in said("Qwen/Qwen3-8B")
    assert "In it are models: Tiny-Model." in said(tmp_path)
    (tmp_path / "m.gguf").write_bytes(b"GGUF")
    assert said(tmp_path / "m.gguf").endswith("A GGUF file goes with --engine llama-cpp.")
    (model / "tokenizer.json").unlink()
    assert "has no tokenizer" in said(model)
    (model / "tokenizer.json").touch()
    (model / "config.json").write_text("{")
    assert "cannot be read as JSON" in said(model)


def test_llama_cpp_takes_a_gguf_file(complaint: Complaint, model: Path, tmp_path: Path) -> None:
    program = tmp_path / "bin" / "llama-server"
    program.parent.mkdir()
    program.touch(mode=0o755)
    assert "takes a GGUF file" in complaint("llama-cpp", model=str(model))
    (model / "q.gguf").write_bytes(b"GGUF")
    assert f"Name one of its files: {model / 'q.gguf'}." in complaint("llama-cpp", model=str(model))
    (tmp_path / "x.gguf").write_bytes(b"<htm")
    assert "is no GGUF file" in complaint("llama-cpp", model=str(tmp_path / "x.gguf"))


def test_a_server_of_somebody_elses_needs_an_address_and_a_name(complaint: Complaint, tmp_path: Path) -> None:
    """Port 9 is nobody's."""
    assert complaint("url").endswith("Say where it is: --url http://host:port.")
    refused = complaint("url", url="http://127.0.0.1:9")
    assert refused.startswith("http://127.0.0.1:9 does not answer (connection refused), so that it is not known")
    assert refused.endswith("say with --model what it calls its model: the fleet then comes up and waits for it.")
    assert "cannot be read" in complaint("url", url="http://127.0.0.1:9", key_file=tmp_path / "no")
    section = EngineSection(kind="url", url="http://127.0.0.1:9", model="Qwen/Qwen3-8B")
    checked = check_engine(Settings(engine=section), worker="cpu0", environ={})
    assert (checked.name, checked.alias, checked.model.context_tokens) == ("Qwen/Qwen3-8B", "qwen3-8b", None)


def test_a_url_with_another_engine_is_a_mistake(complaint: Complaint, vllm: Path) -> None:
    assert "--engine url" in complaint("vllm", python=vllm, url="http://127.0.0.1:9")


def test_an_engine_that_nobody_knows_is_answered_with_all_that_there_are() -> None:
    with pytest.raises(SettingsError, match=r"Did you mean extractive\? There are extractive, simulated, noop, llama"):
        check_fleet(Settings(engine=EngineSection(kind="extractiv")), ("cpu0",), environ={})
    check_fleet(Settings(engine=EngineSection(kind="simulated")), ("gpu0",), environ={})


def test_two_engines_do_not_share_a_card(tmp_path: Path) -> None:
    recipe = load_recipe("vllm-gfx906")
    check_cards(recipe, ("gpu0", "gpu1"), root=tmp_path)  # where no card shows, nothing can be told
    node = tmp_path / NODES.lstrip("/") / "1"
    node.mkdir(parents=True)
    (node / "properties").write_text("simd_count 240\ndrm_render_minor 128\n")
    (tmp_path / "dev/dri").mkdir(parents=True)
    (tmp_path / "dev/dri/renderD128").touch()
    check_cards(recipe, ("gpu0",), root=tmp_path)
    check_cards(recipe, ("cpu0", "cpu1"), root=tmp_path)
    with pytest.raises(SettingsError, match=r"2 engines want a card each, and this computer shows 1 card"):
        check_cards(recipe, ("gpu0", "gpu1"), root=tmp_path)
