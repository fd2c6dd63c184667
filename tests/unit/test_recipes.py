"""Recipes: each of ours can be read, a wrong one is refused in one line, and a short one of one's own is enough."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from viiwork.errors import SettingsError
from viiwork.recipes.load import PLACEHOLDER, known_recipes, load_recipe, recipe_for

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = re.compile(r"```toml\n(# my-engine.*?)```", re.DOTALL)


def refused(path: Path, text: str | bytes) -> str:
    """The one line that a recipe is refused with; it begins with the file."""
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(SettingsError) as caught:
        load_recipe(str(path))
    line = str(caught.value)
    assert "\n" not in line
    return line.removeprefix(f"{path}: ")


def test_there_is_a_recipe_for_each_server_that_is_promised() -> None:
    assert known_recipes() == ("llama-cpp", "mlc-llm", "tgi", "url", "vllm", "vllm-cpu", "vllm-gfx906")


@pytest.mark.parametrize("kind", known_recipes())
def test_each_of_ours_can_be_read_and_keeps_to_itself(kind: str) -> None:
    """What it starts listens on loopback, phones nobody, and takes its key from the environment, not from `ps`."""
    recipe = load_recipe(kind)
    if not recipe.command:
        return
    words = " ".join(recipe.command)
    assert "{host}" in words
    assert "{port}" in words
    assert "{key}" not in words
    assert recipe.env["DO_NOT_TRACK"] == "1"
    assert recipe.env["HF_HUB_OFFLINE"] == "1"
    assert not recipe.key_env or recipe.env[recipe.key_env] == "{key}"
    assert recipe.install


def test_a_worker_without_a_card_takes_the_recipe_for_that() -> None:
    assert recipe_for("vllm", "cpu0").title == "vLLM (CPU)"
    assert recipe_for("vllm", "gpu0").title == "vLLM"
    assert recipe_for("llama-cpp", "cpu0").title == "llama.cpp"


def test_an_unknown_name_is_answered_with_the_likely_one() -> None:
    with pytest.raises(SettingsError, match=r"no engine 'vlm'\. Did you mean vllm\? There are .*llama-cpp"):
        load_recipe("vlm")


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"no\.toml: there is no such file"):
        load_recipe(str(tmp_path / "no.toml"))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("title = ", "it is not valid TOML"),
        (b"title = '\xff'", "it is not UTF-8 (byte 10)"),
        ("", "title: it is missing"),
        ("title = 'x'\nslot = 3", "slot: there is no such key in a recipe"),
        ("title = 'x'\nslots = 0", "slots: input should be greater than or equal to 1"),
        ("title = 'x'\ndialect = 'x'", "dialect: input should be 'openai', 'vllm'"),
        ("title = 'x'\n[metrics]\nruning = 'a'", "metrics.runing: there is no such key in a recipe"),
        ("title = 'x'\ncommand = ['a', '--ctx', '{contxt}']", "command: {contxt} stands for nothing"),
        ("title = 'x'\ncommand = ['a', '{port}']\n[env]\nA = '{foo}'", "env.A: {foo} stands for nothing"),
        ("title = 'x'\ncommand = ['a']", "command: it must tell the server its {port}"),
        ("title = 'x'\ninherit = ['VIIWORK_REDIS_URL']", "inherit: VIIWORK_REDIS_URL is ours"),
    ],
)
def test_what_is_wrong_with_a_recipe_is_said_with_file_and_key(text: str | bytes, said: str, tmp_path: Path) -> None:
    assert refused(tmp_path / "my.toml", text).startswith(said)


def test_braces_of_json_are_no_placeholders() -> None:
    assert PLACEHOLDER.findall('{"backend":"xgrammar"} {slots}') == ["slots"]


def test_a_recipe_may_name_files_beside_it(tmp_path: Path) -> None:
    (tmp_path / "my.toml").write_text("title = 'x'\ncommand = ['{python}', '{here}/server.py', '{port}']\n")
    assert load_recipe(str(tmp_path / "my.toml")).command[1] == f"{tmp_path}/server.py"


def test_the_example_of_the_engines_page_is_a_recipe_of_under_thirty_lines(tmp_path: Path) -> None:
    """What a newcomer copies must work; `tests/integration` starts it."""
    found = EXAMPLE.search((ROOT / "docs/engines.md").read_text(encoding="utf-8"))
    assert found
    assert len(found[1].splitlines()) < 30
    (tmp_path / "my-engine.toml").write_text(found[1])
    assert load_recipe(str(tmp_path / "my-engine.toml")).slots > 0
