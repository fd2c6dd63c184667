"""`viiwork plan` for people and for programs, for cards that are here and cards that are not."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from viiwork.cli.main import run
from viiwork.cli.plan import own_cards
from viiwork.cli.plantable import listed
from viiwork.devices import Device, Reading
from viiwork.devices.amd import AmdDevices
from viiwork.devices.choose import JoinedDevices
from viiwork.devices.host import Host
from viiwork.placement.cards import cards_of

MISTRAL = "mistralai/Mistral-7B-Instruct-v0.3"


@pytest.fixture(autouse=True)
def settings_of_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No settings of whoever runs the tests count."""
    for name in [name for name in os.environ if name.startswith("VIIWORK_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)


def planned(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    code = run(["plan", *arguments])
    seen = capsys.readouterr()
    return code, seen.out, seen.err


def planned_json(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, dict[str, Any]]:
    code, shown, _ = planned(capsys, *arguments, "--json")
    (line,) = shown.splitlines()
    found: dict[str, Any] = json.loads(line)
    return code, found


def test_a_plan_that_fits_is_a_table_with_its_reasons(capsys: pytest.CaptureFixture[str]) -> None:
    """Exit code 0."""
    code, shown, _ = planned(capsys, "--cards", "3xRadeonVII", "--model", "qwen2.5-14b")
    assert code == 0
    assert "gpu0+gpu1+gpu2" in shown
    assert "pipeline parallel 3" in shown
    assert "40 attention heads" in " ".join(shown.split())


def test_what_does_not_fit_is_told_with_what_would_and_exit_code_1(capsys: pytest.CaptureFixture[str]) -> None:
    """The rest of the plan is shown all the same."""
    code, shown, _ = planned(capsys, "--cards", "4xRadeonVII", "--model", "mistral-7b", "--model", "llama-2-13b")
    told = " ".join(shown.split())
    assert code == 1
    assert "gpu2+gpu3" in told
    assert "llama-2-13b does not fit: needs 30.8 GiB, the largest group has 28.8 GiB." in told
    assert "  it would fit as --model llama-2-13b:int4 (1 card)" in shown.splitlines()


@pytest.mark.parametrize("columns", [80, 120])
def test_no_name_of_a_worker_or_a_model_is_broken_in_the_table(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, columns: int
) -> None:
    """A group of eight is written over several lines, between its cards."""
    monkeypatch.setenv("COLUMNS", str(columns))
    _, shown, _ = planned(capsys, "--cards", "10xRadeonVII", "--model", "mixtral-8x7b", "--model", "qwen3-30b-a3b:int4")
    table = shown.split("It needs", maxsplit=1)[0]
    assert max(map(len, shown.splitlines())) <= columns
    assert {"mixtral-8x7b", "gpu8+gpu9"} <= set(table.split())
    assert {"qwen3-30b-a3b", "int4"} <= set(table.replace(":", " ").split())
    assert all(f"gpu{number}" in table.replace("+", " ").split() for number in range(10))


def test_a_long_row_of_single_cards_is_told_by_its_ends(capsys: pytest.CaptureFixture[str]) -> None:
    """Also those that are spare."""
    _, shown, _ = planned(capsys, "--cards", "10xRadeonVII", "--model", "mistral-7b:int4")
    assert "mistral-7b:int4 on gpu0 to gpu9: It fits on one card" in shown
    _, shown, _ = planned(capsys, "--cards", "10xRadeonVII", "--model", "llama-3-70b")
    assert "Spare: gpu0 to gpu9." in shown
    assert listed(["gpu0", "gpu1", "gpu3", "gpu5", "gpu6", "gpu7", "gpu8+gpu9"]) == (
        "gpu0, gpu1, gpu3, gpu5 to gpu7, gpu8+gpu9"
    )


def test_for_programs_a_plan_is_one_object(capsys: pytest.CaptureFixture[str]) -> None:
    """With bytes, not words."""
    code, made = planned_json(capsys, "--cards", "2xRadeonVII@x1+1xMI50-32GB", "--model", "mistral-7b:int4")
    assert code == 0
    assert [each["name"] for each in made["placements"]] == ["gpu0", "gpu1", "gpu2"]
    first = made["placements"][0]
    assert (first["model"], first["split"], first["tp"], first["pp"]) == ("mistral-7b:int4", "one card", 1, 1)
    assert first["fit"]["weights_bytes"] > 2**31
    assert first["cards"][0]["link"]["width"] == 1
    assert (made["spare"], made["refusals"]) == ([], [])


def test_the_engine_decides_what_is_known_to_work(capsys: pytest.CaptureFixture[str]) -> None:
    """The releases of vLLM do not run on gfx906; the fork and llama.cpp do."""
    model = ("--cards", "1xRadeonVII", "--model", "mistral-7b:int4")
    code, shown, _ = planned(capsys, *model, "--engine", "vllm")
    assert code == 1
    assert "no kernels for gfx906" in shown
    assert [planned(capsys, *model, "--engine", engine)[0] for engine in ("vllm-gfx906", "llama-cpp", "auto")] == [
        0
    ] * 3


def test_a_model_of_ones_own_is_planned_by_its_path(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The context comes from its config.json."""
    folder = tmp_path / "mine"
    folder.mkdir()
    config = {"architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": 256, "num_hidden_layers": 2}
    sizes = {"intermediate_size": 512, "num_attention_heads": 4, "vocab_size": 999, "max_position_embeddings": 2048}
    (folder / "config.json").write_text(json.dumps(config | sizes), encoding="utf-8")
    code, made = planned_json(capsys, "--cards", "1xRadeonVII", "--model", str(folder))
    assert code == 0
    assert [(each["model"], each["max_model_len"]) for each in made["placements"]] == [("mine", 2048)]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--cards", "4xRadeonVII"), "Name at least one with --model"),
        (("--cards", "4xRadeonVIII", "--model", "mistral-7b"), "no kind of card"),
        (("--cards", "2xRadeonVII", "--devices", "auto", "--model", "mistral-7b"), "Either --cards or --devices"),
        (("--cards", "4xRadeonVII", "--model", "mistal"), "mistral-7b"),
        (("--cards", "4xRadeonVII", "--model", "mistral-7b", "--model", "mistral-7b"), "named twice"),
        (("--cards", "4xRadeonVII", "--model", "mistral-7b", "--engine", "magic"), "magic"),
        (("--cards", "4xRadeonVII", "--model", "./nowhere"), "./nowhere"),
        (("--cards", "4xRadeonVII", "--model", "org/never-pulled"), "viiwork models pull org/never-pulled"),
        (("--cards", "1xRadeonVII", "--model", MISTRAL), f"viiwork models pull {MISTRAL}"),
        (("--cards", "1xRadeonVII", "--model", MISTRAL), "or plan it without its files: --model mistral-7b"),
        (("--cards", "1xRadeonVII", "--model", "Mistral-7B-Instruct-v0.3"), "Its name there is mistral-7b."),
    ],
)
def test_wrong_use_is_one_line_and_exit_code_2(
    capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], told: str
) -> None:
    """It names what is wrong."""
    code, shown, said = planned(capsys, *arguments)
    assert (code, shown) == (2, "")
    assert told in said
    assert len(said.splitlines()) == 1


def test_a_machine_without_cards_is_told_why_and_how_to_plan_all_the_same(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What was looked for, and a command that works."""
    asked = ["qwen3-8b:int4,share=2", "./my model"]
    assert own_cards(JoinedDevices({"amd": AmdDevices(Host(tmp_path))}), asked) == ()
    said = capsys.readouterr().err
    assert "No cards were found." in said
    assert "/dev/kfd" in said
    assert "viiwork plan --cards 4xRadeonVII --model qwen3-8b:int4,share=2 --model './my model'" in said
    assert "Known kinds: RadeonVII, MI50, MI50-32GB" in said


def test_a_plan_for_this_machine_says_what_it_found(capsys: pytest.CaptureFixture[str]) -> None:
    """Whatever cards it has: either a plan, or the way to one without cards and exit code 1."""
    code, shown, said = planned(capsys, "--model", "mistral-7b:int4")
    assert shown or "viiwork plan --cards 4xRadeonVII" in said
    assert code in (0, 1)


TWO_MAKERS = "2xRadeonVII@x1+1xRTX3090+1xMI50"


@pytest.mark.parametrize("command", ["plan", "compose"])
def test_cards_of_two_makers_are_refused_as_up_refuses_them(capsys: pytest.CaptureFixture[str], command: str) -> None:
    """In the same words, and with each maker's own list to go on with."""
    assert run([command, "--cards", TWO_MAKERS, "--model", "mistral-7b:int4"]) == 2
    said = capsys.readouterr().err
    assert run(["up", "--engine", "simulated", "--devices", "simulated:3xRadeonVII+1xRTX3090"]) == 2
    refused = "these are 3 of AMD's cards and 1 of NVIDIA's, and a fleet uses those of one maker"
    assert refused in capsys.readouterr().err
    assert refused in said
    assert "--cards 2xRadeonVII@x1+1xMI50 or --cards 1xRTX3090" in said


def test_the_cards_that_the_settings_give_to_the_fleet_are_planned_for(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """And with --devices others of this computer."""
    monkeypatch.setenv("VIIWORK_DEVICES_SPEC", "simulated:2xRadeonVII")
    code, made = planned_json(capsys, "--model", "mistral-7b:int4")
    assert (code, [each["name"] for each in made["placements"]]) == (0, ["gpu0", "gpu1"])
    given = ("--devices", "simulated:1xMI50-32GB", "--model", "mistral-7b:int4")
    assert [each["kind"] for each in planned_json(capsys, *given)[1]["placements"][0]["cards"]] == [
        "simulated Instinct MI50 32GB"
    ]


def test_a_card_in_reset_is_said_to_be_left_out() -> None:
    """By the number of its worker."""
    card = Device("id", "amd", 3, "Radeon VII", "gfx906", 2**34)
    (found,) = cards_of([(card, Reading(state="resetting"))])
    assert (found.label, found.trouble) == ("gpu3", "its driver starts it again")
