"""From a recipe and its cards to the words of `docker run`: what a container sees, and whether there is one at all."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from tests.fakes.cards import radeon_vii, write_tree
from viiwork.containers.client import Client
from viiwork.containers.image import Image, is_pinned
from viiwork.devices import Device, open_devices
from viiwork.devices.host import Host
from viiwork.errors import SettingsError, StartupError
from viiwork.recipes import Launch
from viiwork.recipes.containing import Outside, Seen, options, readable_of, seen_cards_of
from viiwork.recipes.launching import Place, make_launch
from viiwork.recipes.load import load_recipe
from viiwork.recipes.modelfacts import ModelFacts
from viiwork.recipes.recipe import Boxed, Recipe
from viiwork.recipes.vessel import Vessel, in_container, vessel_of
from viiwork.settings import EngineSection

DOCKER = Client(kind="docker", program="/usr/bin/docker")
PODMAN = Client(kind="podman", program="/usr/bin/podman")
IMAGE = Image(f"sha256:{'0' * 64}")
TWO = Seen(("/dev/kfd", "/dev/dri/renderD128", "/dev/dri/renderD129"), (109, 44))
OUTSIDE = Outside(TWO, ("/models/m",), ("/s/engines/gpu0",), uid=1000, gid=1000, memory_bytes=100)
BOXED = Recipe(title="x", command=("{python}", "{port}"), image="a@b", container=Boxed(when="absent"))
H100 = Device(id="GPU-1", vendor="nvidia", index=1, name="H100", arch="sm_90", vram_bytes=1, uuid="GPU-1")


def words(client: Client = DOCKER, boxed: Boxed | None = None, outside: Outside = OUTSIDE) -> tuple[str, ...]:
    return options(client, boxed or Boxed(), outside, stop_grace_s=60.0)


def launched(tmp_path: Path, worker: str, **changes: object) -> Launch:
    """Of the gfx906 recipe, on a host with four cards."""
    write_tree(tmp_path, [radeon_vii(number) for number in range(4)])
    model = tmp_path / "models/tiny"
    model.mkdir(parents=True)
    environ = {"HSA_OVERRIDE_GFX_VERSION": "9.0.6", "ROCM_PATH": "/opt/rocm", "PATH": "/usr/bin", "HF_TOKEN": "secret"}
    place = Place(environ=environ, state_dir=Path("/state"), cpus=8, root=tmp_path, ram_bytes=1000, **changes)  # type: ignore[arg-type] # a dict of many types
    return make_launch(
        load_recipe("vllm-gfx906"),
        EngineSection(kind="vllm-gfx906"),
        worker=worker,
        alias="tiny",
        model=ModelFacts(path=str(model)),
        place=place,
        program="python3",
        vessel=Vessel(DOCKER, IMAGE),
    )


def test_a_container_gets_no_more_than_is_named() -> None:
    assert words() == (
        *("--network=host", "--ipc=private", f"--shm-size={1 << 30}", "--memory=100", "--pids-limit=4096"),
        *("--stop-timeout=60", "--cap-drop=ALL", "--security-opt=no-new-privileges", "--read-only"),
        *("--tmpfs=/tmp:rw,exec,nosuid,nodev,mode=1777", "--user=1000:1000"),
        *("--device=/dev/kfd", "--device=/dev/dri/renderD128", "--device=/dev/dri/renderD129"),
        *("--group-add=109", "--group-add=44"),
        "--mount=type=bind,src=/models/m,dst=/models/m,readonly",
        "--mount=type=bind,src=/s/engines/gpu0,dst=/s/engines/gpu0",
    )


def test_what_a_recipe_may_change() -> None:
    boxed = Boxed(
        ipc="host", seccomp="unconfined", read_only=False, user="image", memory_bytes=7, pids=9, devices=("/dev/x",)
    )
    said = words(boxed=boxed)
    assert {"--ipc=host", "--security-opt=seccomp=unconfined", "--memory=7", "--pids-limit=9", "--device=/dev/x"} < {
        *said
    }
    assert not [word for word in said if word.startswith(("--user", "--read-only", "--shm-size", "--privileged"))]


def test_podman_of_a_user_keeps_that_users_number_and_groups() -> None:
    """In a user's own namespace the host's groups have no numbers."""
    said = words(PODMAN)
    assert {"--userns=keep-id", "--user=1000:1000", "--group-add=keep-groups", "--security-opt=label=disable"} < {*said}
    assert "--group-add=109" not in said
    root = Outside(TWO, (), (), uid=0, gid=0, memory_bytes=1)
    assert "--group-add=109" in words(PODMAN, outside=root)
    assert "--userns=keep-id" not in words(PODMAN, outside=root)


def test_nvidias_cards_are_named_by_uuid() -> None:
    two = Outside(Seen(nvidia=("GPU-1", "GPU-2")), (), (), uid=0, gid=0, memory_bytes=1)
    assert words(outside=two)[-2:] == ("--gpus", '"device=GPU-1,GPU-2"')
    assert words(PODMAN, outside=two)[-2:] == ("--device=nvidia.com/gpu=GPU-1", "--device=nvidia.com/gpu=GPU-2")


def test_the_radeon_vii_in_its_image(tmp_path: Path) -> None:
    """Its card alone, no ROCm of the host, the key by name, the caches in a home that stays."""
    launch = launched(tmp_path, "gpu1")
    assert launch.container is not None
    said = launch.container.options
    assert [word for word in said if word.startswith("--device")] == [
        "--device=/dev/kfd",
        "--device=/dev/dri/renderD129",
    ]
    assert f"--group-add={os.getgid()}" in said  # of the files of this tree
    assert {"--ipc=host", "--security-opt=seccomp=unconfined", "--memory=800", "--stop-timeout=60"} < {*said}
    assert f"--mount=type=bind,src={tmp_path}/models/tiny,dst={tmp_path}/models/tiny,readonly" in said
    assert launch.argv[:3] == ("python3", "-m", "vllm.entrypoints.openai.api_server")
    assert launch.env["VLLM_API_KEY"] == "{key}"
    assert launch.env["HSA_OVERRIDE_GFX_VERSION"] == "9.0.6"
    assert not {"PATH", "ROCM_PATH", "HF_TOKEN", "ROCR_VISIBLE_DEVICES"} & {*launch.env, *launch.container.plain}
    assert launch.container.plain["HOME"] == "/state/engines/home"
    assert launch.container.pins == {"ROCR_VISIBLE_DEVICES": "1"}
    assert launch.container.image == IMAGE.id


def test_cards_that_were_found_are_given_by_their_own_nodes(tmp_path: Path) -> None:
    write_tree(tmp_path / "host", [radeon_vii(number) for number in range(4)])
    found = open_devices("amd", state_dir=tmp_path, root=tmp_path / "host").found()
    recipe = load_recipe("vllm-gfx906")
    seen = seen_cards_of(recipe, "gpu0+gpu1", [found[3], found[2]], Host(tmp_path / "host"))
    assert seen.nodes == ("/dev/kfd", "/dev/dri/renderD131", "/dev/dri/renderD130")
    assert seen_cards_of(load_recipe("vllm"), "gpu1", [H100], Host(tmp_path)).nvidia == ("GPU-1",)
    assert seen_cards_of(load_recipe("vllm"), "gpu1", [], Host(tmp_path)).nvidia == ("1",)
    assert seen_cards_of(recipe, "cpu0", [], Host(tmp_path)) == Seen()


def test_a_card_that_is_not_there_is_said(tmp_path: Path) -> None:
    write_tree(tmp_path / "two", [radeon_vii(0), radeon_vii(1)])
    with pytest.raises(StartupError, match="card 2 of gpu2 is not there"):
        seen_cards_of(load_recipe("vllm-gfx906"), "gpu2", [], Host(tmp_path / "two"))
    write_tree(tmp_path, [radeon_vii(0)])
    (tmp_path / "dev/kfd").unlink()
    with pytest.raises(StartupError, match=r"/dev/kfd is not there, which the engine's container needs\. `viiwork doc"):
        seen_cards_of(load_recipe("vllm-gfx906"), "gpu0", [], Host(tmp_path))


def test_a_models_links_are_followed_out_of_its_folder(tmp_path: Path) -> None:
    """As a hub's cache has them: snapshots of links to blobs."""
    blobs, snapshot = tmp_path / "blobs", tmp_path / "snapshots/1"
    for folder in (blobs, snapshot):
        folder.mkdir(parents=True)
    (blobs / "ab").touch()
    (snapshot / "config.json").touch()
    (snapshot / "model.safetensors").symlink_to("../../blobs/ab")
    assert readable_of(str(snapshot), ["/etc"]) == (str(snapshot), str(blobs / "ab"), "/etc")


def test_all_parts_of_a_split_file_are_shown(tmp_path: Path) -> None:
    parts = [tmp_path / f"m-0000{number}-of-00002.gguf" for number in (1, 2)]
    for part in parts:
        part.touch()
    assert readable_of(str(parts[0]), []) == tuple(map(str, parts))


def test_what_no_mount_can_say_is_refused(tmp_path: Path) -> None:
    odd = tmp_path / "a,b"
    odd.mkdir()
    with pytest.raises(SettingsError, match="holds a comma"):
        readable_of(str(odd), [])
    with pytest.raises(SettingsError, match="/nowhere is not there, and the recipe's `mounts` name it"):
        readable_of("", ["/nowhere"])


@pytest.mark.parametrize(
    ("section", "here", "boxed"),
    [
        ({}, True, False),
        ({}, False, True),
        ({"python": "/v/bin/python"}, False, False),
        ({"container": "none"}, False, False),
        ({"container": "podman"}, True, True),
        ({"image": "c@d"}, True, True),
        ({"image": "c@d", "container": "none"}, True, False),
    ],
)
def test_who_names_an_image_or_a_program_for_containers_means_one(
    section: dict[str, str], here: bool, boxed: bool
) -> None:
    engine = EngineSection.model_validate(section)
    assert in_container(BOXED, engine, is_here=lambda: here) is boxed


def test_a_recipe_of_an_image_alone_is_always_one_and_one_without_never() -> None:
    always = BOXED.model_copy(update={"container": Boxed()})
    plain = BOXED.model_copy(update={"image": ""})
    elsewhere = BOXED.model_copy(update={"command": ()})
    engine = EngineSection()
    assert in_container(always, engine, is_here=lambda: True)
    assert not in_container(plain, engine, is_here=lambda: False)
    assert not in_container(elsewhere, EngineSection(image="c@d"), is_here=lambda: True)


def test_the_example_of_the_engines_page_is_a_whole_recipe_in_under_30_lines(tmp_path: Path) -> None:
    page = (Path(__file__).resolve().parents[2] / "docs/engines.md").read_text("utf-8")
    (text,) = re.findall(r"```toml\n(# my-container.*?)```", page, flags=re.DOTALL)
    assert len(text.splitlines()) < 30
    file = tmp_path / "my-container.toml"
    file.write_text(text, "utf-8")
    recipe = load_recipe(str(file))
    assert is_pinned(recipe.image)
    assert recipe.container.shm_bytes == 4 << 30


def test_a_program_for_containers_without_an_image_is_said() -> None:
    with pytest.raises(SettingsError, match=r"x names no image to run in podman\. Set engine\.image"):
        vessel_of(BOXED.model_copy(update={"image": ""}), EngineSection(container="podman"), environ={})
