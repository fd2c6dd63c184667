"""`viiwork compose`: from a plan, from simulated cards or from none to a document that Docker takes."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped] # PyYAML ships no types

from viiwork.cli.composing import Request, for_here
from viiwork.cli.main import run
from viiwork.deploy.composefile import as_remark, compose_file
from viiwork.deploy.containers import IMAGES, Cards, Container, from_plan, mounts, source_of, stop_s
from viiwork.devices import Device
from viiwork.errors import UsageError
from viiwork.placement.cards import PlanCard
from viiwork.placement.plan import Plan, plan
from viiwork.placement.wish import read_wish
from viiwork.recipes.cards import numbers
from viiwork.settings import variables
from viiwork.variables import BETWEEN_PROCESSES, OF_COMPOSE

ROOT = Path(__file__).resolve().parents[2]
GIB_16 = 17_163_091_968


@pytest.fixture(autouse=True)
def settings_of_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No settings of whoever runs the tests count."""
    for name in [name for name in os.environ if name.startswith("VIIWORK_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.chdir(tmp_path)


def composed(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, dict[str, Any], str]:
    """Exit code, the services, and what was said beside."""
    code = run(["compose", *arguments])
    seen = capsys.readouterr()
    found: dict[str, Any] = yaml.safe_load(seen.out)["services"] if seen.out else {}
    return code, found, seen.err


def cards_of(services: dict[str, Any]) -> dict[str, Any]:
    return {name: service for name, service in services.items() if name.startswith("gpu")}


def here(count: int) -> tuple[tuple[PlanCard, ...], Cards]:
    """Radeon VII as this computer would show them; render nodes do not follow the cards' numbers."""
    devices = [
        Device(
            id=f"GPU-{index:016x}",
            uuid=f"GPU-{index:016x}",
            vendor="amd",
            index=index,
            name="Radeon VII",
            arch="gfx906",
            vram_bytes=GIB_16,
            render_minor=128 + count - 1 - index,
        )
        for index in range(count)
    ]
    plan_cards = tuple(
        PlanCard(id=each.id, index=each.index, kind=each.name, arch=each.arch, vram_bytes=each.vram_bytes)
        for each in devices
    )
    return plan_cards, Cards(devices={each.id: each for each in devices}, groups=("44", "109"))


def containers(made: Plan, cards: Cards, *, found: Path | None = None) -> tuple[Container, ...]:
    sources = {each.model: source_of(each.model, found) for each in made.placements}
    return from_plan(made.placements, cards=cards, sources=sources, recipe_of=lambda _: "vllm-gfx906")


def test_each_placement_is_a_service_with_its_own_cards_and_what_rocm_needs() -> None:
    """A replica a card: its own node, its own UUID, the host's groups by number, time to let go of the card."""
    plan_cards, cards = here(3)
    made = plan([read_wish("mistral-7b:int4")], plan_cards)
    text = compose_file(containers(made, cards), command="viiwork compose", groups=cards.groups)
    services = cards_of(yaml.safe_load(text)["services"])
    assert set(services) == {"gpu0", "gpu1", "gpu2"}
    for number in range(3):
        service = services[f"gpu{number}"]
        assert service["command"][-1] == f"gpu{number}"
        assert service["devices"] == ["/dev/kfd", f"/dev/dri/renderD{130 - number}"]
        assert service["environment"]["VIIWORK_WORKER_CARDS"] == f"GPU-{number:016x}"
        assert service["environment"]["VIIWORK_DEVICES_SPEC"] == "amd"
        assert service["group_add"] == ["44", "109"]
        assert service["ipc"] == "host"
        assert "seccomp=unconfined" in service["security_opt"]
        assert service["cap_drop"] == ["ALL"]
        assert service["stop_grace_period"] == "190s"
        assert f"alive gpu{number}" in service["healthcheck"]["test"][1]


def test_a_group_is_one_worker_that_is_told_its_split(capsys: pytest.CaptureFixture[str]) -> None:
    """A service's name takes no plus, a worker's has one."""
    code, services, _ = composed(capsys, "--cards", "3xRadeonVII", "--model", "qwen2.5-14b")
    service = services["gpu0-gpu1-gpu2"]
    assert code == 0
    assert service["command"][-1] == "gpu0+gpu1+gpu2"
    assert service["environment"]["VIIWORK_WORKER_SPLIT"] == "1x3"
    assert len(service["devices"]) == 4


def test_the_first_service_of_an_image_alone_builds_it(capsys: pytest.CaptureFixture[str]) -> None:
    """The others would build it again, one after the other."""
    _, services, _ = composed(capsys, "--cards", "4xRadeonVII", "--model", "mistral-7b:int4")
    assert [name for name, service in cards_of(services).items() if "build" in service] == ["gpu0"]
    build = services["gpu0"]["build"]
    assert "mixa3607/vllm-gfx906:0.20.1-rocm-6.3.3-aiinfos" in build["args"]["VLLM_IMAGE"]
    for image in IMAGES.values():
        told = (ROOT / image.dockerfile).read_text(encoding="utf-8")
        assert f"ARG VLLM_IMAGE={image.base}\n" in told


def test_nvidias_cards_are_reserved_by_identity(capsys: pytest.CaptureFixture[str]) -> None:
    """As Docker's own syntax has it; no device file is named."""
    _, services, _ = composed(capsys, "--cards", "2xRTX3090", "--model", "mistral-7b")
    (asked,) = services["gpu1"]["deploy"]["resources"]["reservations"]["devices"]
    assert asked == {"driver": "nvidia", "device_ids": ["${VIIWORK_GPU1:-1}"], "capabilities": ["gpu"]}
    assert "devices" not in services["gpu1"]
    assert services["gpu1"]["environment"]["VIIWORK_ENGINE_KIND"] == "vllm"


def test_a_models_files_are_passed_in_at_the_same_path_for_all_who_count_tokens() -> None:
    """Once each, to be read only."""
    source = source_of("/models/qwen3-8b", Path("/models/qwen3-8b"))
    plan_cards, cards = here(2)
    made = plan([read_wish("mistral-7b:int4")], plan_cards)
    found = containers(made, cards, found=Path("/models/qwen3-8b"))
    text = compose_file(found, command="viiwork compose", mounts=mounts([source, source]))
    services = yaml.safe_load(text)["services"]
    for name in ("api", "reader", "gpu0", "gpu1"):
        assert services[name]["volumes"] == ["state:/var/lib/viiwork", "/models/qwen3-8b:/models/qwen3-8b:ro"]
    assert services["gpu0"]["environment"]["VIIWORK_ENGINE_MODEL"] == "/models/qwen3-8b"


def test_a_model_without_files_here_must_be_named_before_docker_starts_anything(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The catalogue knows shapes only; an engine that finds nothing after minutes would tell too late."""
    _, services, _ = composed(capsys, "--cards", "1xRadeonVII", "--model", "qwen3-8b:int4")
    wanted = services["gpu0"]["environment"]["VIIWORK_ENGINE_MODEL"]
    variable = re.match(r"\$\{(\w+):\?", wanted)
    assert variable is not None
    assert OF_COMPOSE.fullmatch(variable[1])


SMALL = {
    "architectures": ["Qwen3ForCausalLM"],
    "model_type": "qwen3",
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "vocab_size": 1000,
}


def test_a_directory_here_is_passed_in_unless_its_files_lie_elsewhere(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A cache of links would be a directory of dead ends inside."""
    model, elsewhere = tmp_path / "small", tmp_path / "blobs"
    model.mkdir()
    elsewhere.mkdir()
    (model / "config.json").write_text(json.dumps(SMALL))
    code, services, _ = composed(capsys, "--cards", "1xRadeonVII", "--model", str(model))
    assert code == 0
    assert f"{model}:{model}:ro" in services["reader"]["volumes"]
    assert services["gpu0"]["environment"]["VIIWORK_ENGINE_MODEL"] == str(model)
    (model / "config.json").rename(elsewhere / "config.json")
    (model / "config.json").symlink_to(elsewhere / "config.json")
    code, _, told = composed(capsys, "--cards", "1xRadeonVII", "--model", str(model))
    assert code == 2
    assert "leads out of its directory" in told


@pytest.mark.parametrize("path", ["/models/a:b", "/models/a$b", "/models/a\nb"])
def test_a_path_that_a_compose_file_would_misread_is_refused(path: str) -> None:
    """A colon would cut it, a dollar would be replaced."""
    with pytest.raises(UsageError, match="cannot be passed into a container"):
        source_of("model", Path(path))


def test_every_variable_of_a_worker_is_one_that_something_reads(capsys: pytest.CaptureFixture[str]) -> None:
    """A misspelt one would be passed over."""
    known = {*variables(), *BETWEEN_PROCESSES}
    for given in (("--devices", "simulated:2xRadeonVII"), ("--cards", "3xRadeonVII", "--model", "qwen2.5-14b:int4")):
        _, services, _ = composed(capsys, *given, *(("--slots", "4") if "--cards" in given else ()))
        for service in cards_of(services).values():
            assert set(service["environment"]) <= known


def test_variables_of_the_file_are_known_to_be_its_own(capsys: pytest.CaptureFixture[str]) -> None:
    """Whoever keeps them in the environment is not told that they are misspelt."""
    run(["compose", "--cards", "2xRadeonVII", "--model", "mistral-7b:int4"])
    asked = set(re.findall(r"\$\{(VIIWORK_\w+)", capsys.readouterr().out))
    assert asked
    assert {name for name in asked if not OF_COMPOSE.fullmatch(name)} <= set(variables())


def test_simulated_cards_need_no_device_and_no_image_of_their_own(capsys: pytest.CaptureFixture[str]) -> None:
    """Everything but the cards is real."""
    code, services, _ = composed(capsys, "--devices", "simulated:2xRadeonVII")
    assert code == 0
    for name, service in cards_of(services).items():
        assert numbers(service["command"][-1]) == (int(name.removeprefix("gpu")),)
        assert service["image"] == services["api"]["image"]
        assert service["environment"]["VIIWORK_ENGINE_KIND"] == "simulated"
        assert not {"devices", "ipc", "build"} & set(service)


def test_what_does_not_fit_is_said_and_is_exit_code_1(capsys: pytest.CaptureFixture[str]) -> None:
    """The rest is written all the same."""
    code, services, told = composed(
        capsys, "--cards", "1xRadeonVII", "--model", "mistral-7b:int4", "--model", "llama-2-70b"
    )
    assert code == 1
    assert set(cards_of(services)) == {"gpu0"}
    assert "llama-2-70b does not fit" in told


def test_without_cards_there_is_one_worker_and_the_reason(capsys: pytest.CaptureFixture[str]) -> None:
    """As `auto` finds none; the file says `--devices none`, for it suits any computer."""
    code, services, told = composed(capsys, "--devices", "none", "--engine", "simulated")
    assert code == 0
    assert services["worker"]["environment"]["VIIWORK_ENGINE_KIND"] == "${VIIWORK_CPU_ENGINE:-simulated}"
    assert told == ""


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--cards", "4xRadeonVII", "--devices", "auto"), "Either --cards or --devices"),
        (("--cards", "4xRadeonVII"), "Which models?"),
        (("--devices", "none", "--model", "mistral-7b"), "A model needs cards, and none were found"),
        (("--devices", "none", "--engine", "vllm"), "vllm needs cards"),
        (("--devices", "simulated:2xRadeonVII", "--model", "mistral-7b"), "serve a simulated model"),
        (("--cards", "1xRadeonVII", "--model", "llama-2-70b"), "llama-2-70b does not fit"),
        (("--cards", "1xRadeonVII", "--model", "mistral-7b:int4", "--engine", "llama-cpp"), "no image"),
        (("--cards", "3xTitan", "--model", "mistral-7b"), "no kind of card"),
    ],
)
def test_what_cannot_be_written_is_one_line_and_exit_code_2(
    capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], told: str
) -> None:
    """Nothing is written then."""
    code, services, said = composed(capsys, *arguments)
    assert (code, services) == (2, {})
    assert told in said
    assert "Traceback" not in said


def test_a_file_that_holds_something_else_is_kept(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Unless --force says so; writing the same again is no harm."""
    file = tmp_path / "compose.yaml"
    file.write_text("mine: true\n", encoding="utf-8")
    assert run(["compose", "--devices", "none", "-o", str(file)]) == 2
    assert file.read_text(encoding="utf-8") == "mine: true\n"
    assert "--force" in capsys.readouterr().err
    assert run(["compose", "--devices", "none", "-o", str(file), "--force"]) == 0
    assert run(["compose", "--devices", "none", "-o", str(file)]) == 0
    assert "services" in yaml.safe_load(file.read_text(encoding="utf-8"))


def test_a_file_that_cannot_be_written_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With its path and the system's reason."""
    assert run(["compose", "--devices", "none", "-o", str(tmp_path / "no" / "file.yaml")]) == 2
    assert "No such file or directory" in capsys.readouterr().err


def test_the_command_in_the_file_writes_it_again(capsys: pytest.CaptureFixture[str]) -> None:
    """With all that was given, so that a change of cards is one line."""
    run(
        ["compose", "--cards", "2xRadeonVII", "--model", "mistral-7b:int4,share=2", "--slots", "4", "--context", "4096"]
    )
    first = capsys.readouterr().out
    written = re.search(r"Written by `viiwork (.*?)`", first)
    assert written is not None
    run(written[1].split())
    assert capsys.readouterr().out == first


def test_a_remark_in_the_file_stays_on_its_line() -> None:
    """A model's name may be anybody's."""
    assert as_remark("a\n  services: x\x1b[31m") == "a services: x [31m"


def test_stopping_takes_as_long_as_the_slowest_engine(tmp_path: Path) -> None:
    """An engine of one's own with a minute of grace is not killed at its start of the end."""
    assert stop_s([]) == 70
    assert stop_s(["vllm-gfx906", "vllm"]) == 190


def test_this_computers_settings_file_is_heeded(tmp_path: Path) -> None:
    """Where models lie is a setting."""
    (tmp_path / "models").mkdir()
    config = tmp_path / "fleet.toml"
    config.write_text(f"[models]\ndir = {json.dumps(str(tmp_path / 'models'))}\n", encoding="utf-8")
    request = Request(models=(), engine="auto", context=0, slots=None, config=config)
    assert for_here(request, "none").containers == ()


def test_variables_that_must_be_set_are_said_at_the_end_and_in_the_files_head(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Docker starts nothing without them; a file that needs none says nothing of it."""
    assert run(["compose", "--cards", "2xRadeonVII", "--model", "qwen3-8b:int4", "--model", "mistral-7b:int4"]) == 0
    seen = capsys.readouterr()
    head = seen.out.partition("x-fleet:")[0]
    said = "".join(seen.err.splitlines(keepends=True)[-4:])
    for text in (head, said):
        assert "VIIWORK_MODEL_QWEN3_8B" in text
        assert "VIIWORK_MODEL_MISTRAL_7B" in text
        assert ".env" in text
    assert all(line.startswith("#") or not line for line in head.splitlines())
    assert seen.err.rstrip().endswith("Docker starts nothing without it.")
    assert run(["compose", "--devices", "none"]) == 0
    seen = capsys.readouterr()
    assert "VIIWORK_MODEL" not in seen.out.partition("x-fleet:")[0] + seen.err
