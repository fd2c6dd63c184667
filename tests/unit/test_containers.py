"""Containers without any: which image is meant, what is run, what is ours, and what is said when it cannot be."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path

import pytest

from viiwork.containers.client import Client, Said, ask, find_client
from viiwork.containers.container import (
    ENGINE,
    Container,
    guard_mark,
    list_words,
    listed,
    name_of,
    read_mark,
    remove_words,
    run_words,
    stop_words,
)
from viiwork.containers.image import Image, checked_image, is_pinned
from viiwork.containers.sweep import abandoned, guard_lives
from viiwork.errors import SettingsError, StartupError, ViiworkError
from viiwork.processes import identity

HEX = "0123456789abcdef" * 4
DIGEST = f"mixa3607/vllm-gfx906@sha256:{HEX}"
DOCKER = Client(kind="docker", program="/usr/bin/docker")
PODMAN = Client(kind="podman", program="/usr/bin/podman")


def program(folder: Path, name: str) -> None:
    (folder / name).touch(mode=0o755)


def told(client: Client, image: str, said: Said) -> ViiworkError:
    """What it is refused with."""

    def answer(_client: Client, words: Sequence[str]) -> Said:
        assert list(words) == ["image", "inspect", image]
        return said

    with pytest.raises(ViiworkError) as refused:
        checked_image(client, image, ask=answer)
    return refused.value


@pytest.mark.parametrize(
    ("image", "pinned"),
    [
        (DIGEST, True),
        (f"docker.io/mixa3607/vllm-gfx906:0.20.1@sha256:{HEX}", True),
        (f"registry.lab:5000/vllm@sha256:{HEX}", True),
        (f"sha256:{HEX}", True),
        (HEX[:12], True),
        ("mixa3607/vllm-gfx906:0.20.1-rocm-6.3.3-aiinfos", False),
        ("vllm", False),
        ("vllm:latest", False),
        (f"vllm@sha256:{HEX[:12]}", False),
        (HEX[:11], False),
    ],
)
def test_an_image_is_pinned_by_its_digest_or_its_own_id(image: str, pinned: bool) -> None:
    assert is_pinned(image) is pinned


def test_a_tag_is_refused_with_the_very_words_that_pin_it() -> None:
    """Of an image that is here: its digest, or its id where it was built here. Of another: how to fetch it."""
    here = Said(0, json.dumps([{"Id": f"sha256:{HEX}", "RepoDigests": [DIGEST]}]))
    assert told(DOCKER, "a/b:1", here).hint == f'Set engine.image = "{DIGEST}".'
    built = Said(0, json.dumps([{"Id": HEX, "RepoDigests": []}]))  # as podman says it
    assert told(PODMAN, "a/b:1", built).hint == f'Set engine.image = "sha256:{HEX}".'
    absent = told(DOCKER, "a/b:1", Said(1, "[]", "Error: No such image: a/b:1"))
    assert isinstance(absent, SettingsError)
    assert "`docker pull a/b:1`" in absent.hint
    assert "docker image inspect --format '{{index .RepoDigests 0}}' a/b:1" in absent.hint


def test_an_image_that_is_not_here_is_never_fetched_unasked() -> None:
    error = told(PODMAN, DIGEST, Said(125, "", f"Error: {DIGEST}: image not known"))
    assert isinstance(error, StartupError)
    assert (error.message, error.param) == (f"the image {DIGEST} is not on this computer.", "engine.image")
    assert f"`podman pull {DIGEST}`" in error.hint
    assert "docker images --no-trunc" in told(DOCKER, HEX, Said(1, "[]", "Error: No such image")).hint


@pytest.mark.parametrize(
    ("err", "message", "hint"),
    [
        ("permission denied while trying to connect to the Docker daemon socket", "may not use docker", "-aG docker"),
        ("Cannot connect to the Docker daemon at unix:///x. Is the docker daemon running?", "does not", "systemctl"),
        ("TimeoutExpired", "docker does not answer", "docker info"),
        ("panic: /home/me/secret", "cannot do its work", "`docker info` says more"),
    ],
)
def test_a_daemon_that_cannot_is_told_in_our_own_words(err: str, message: str, hint: str) -> None:
    error = told(DOCKER, DIGEST, Said(1, "", err))
    assert isinstance(error, StartupError)
    assert message in error.message
    assert hint in error.hint
    assert "secret" not in str(error)


def test_an_answer_that_is_no_json_is_no_image() -> None:
    assert "cannot do its work" in told(DOCKER, DIGEST, Said(0, "what?")).message


@pytest.mark.parametrize("image", ["--privileged", "a b", "A/b:1", ""])
def test_what_is_no_name_is_refused_before_anybody_is_asked(image: str) -> None:
    with pytest.raises(SettingsError, match="is no name of an image"):
        checked_image(DOCKER, image)


def test_a_pinned_image_that_is_here_is_taken() -> None:
    said = Said(0, json.dumps([{"Id": f"sha256:{HEX}", "RepoDigests": None, "Size": 7}]))
    found = checked_image(DOCKER, HEX[:12], ask=lambda *_: said)
    assert found == Image(f"sha256:{HEX}", (), 7)
    assert found.pin == f"sha256:{HEX}"


def test_docker_goes_before_podman_and_only_what_they_need_passes(tmp_path: Path) -> None:
    program(tmp_path, "podman")
    environ = {"PATH": str(tmp_path), "HOME": "/home/me", "HF_TOKEN": "secret", "DOCKER_HOST": "unix:///run/d.sock"}
    assert find_client("auto", environ=environ).kind == "podman"
    program(tmp_path, "docker")
    found = find_client("auto", environ=environ)
    assert (found.kind, found.program) == ("docker", str(tmp_path / "docker"))
    assert "HF_TOKEN" not in found.environ
    assert find_client("podman", environ=environ).kind == "podman"


def test_none_of_them_is_said_with_what_to_install(tmp_path: Path) -> None:
    with pytest.raises(StartupError, match=r"neither docker nor podman is on PATH\. Install one"):
        find_client("auto", environ={"PATH": str(tmp_path)})
    with pytest.raises(StartupError, match="podman is not on PATH"):
        find_client("podman", environ={"PATH": str(tmp_path)})


@pytest.mark.parametrize("host", ["tcp://box:2375", "ssh://box"])
def test_a_daemon_of_another_computer_is_refused(tmp_path: Path, host: str) -> None:
    """Its engine would not be on our loopback."""
    program(tmp_path, "docker")
    with pytest.raises(StartupError, match="DOCKER_HOST names a daemon that is not on this computer"):
        find_client("auto", environ={"PATH": str(tmp_path), "DOCKER_HOST": host})


def test_a_program_that_cannot_be_run_is_an_answer_too() -> None:
    assert ask(Client(kind="docker", program="/nowhere/docker"), ["ps"]).code == -1


def test_variables_pass_by_name_so_that_no_command_line_shows_a_key() -> None:
    container = Container(client=DOCKER, image=HEX, options=("--read-only",), plain={"HOME": "/s/home"})
    words = run_words(
        container, ["python3", "-m", "server"], ["API_KEY", "HOME"], name="viiwork-gpu0-1", labels={ENGINE: "/s:gpu0"}
    )
    assert words == [
        *("run", "--name", "viiwork-gpu0-1", "--init", "--pull=never", "--log-driver=none", "--read-only"),
        *("--label", "viiwork.engine=/s:gpu0", "--env", "HOME=/s/home", "--env", "API_KEY"),
        *("--entrypoint", "python3", HEX, "-m", "server"),
    ]


def test_words_that_find_stop_and_remove() -> None:
    assert "label=viiwork.engine=/s:gpu0" in list_words("docker", ENGINE, "/s:gpu0")
    assert list_words("docker", ENGINE, "/s:gpu0")[-1] == '{{.ID}} {{.Label "viiwork.guard"}}'
    assert list_words("podman", ENGINE, "/s:gpu0")[-1] == '{{.ID}} {{index .Labels "viiwork.guard"}}'
    assert stop_words(["a", "b"], grace_s=59.6) == ["stop", "--time", "60", "a", "b"]
    assert remove_words(["a"]) == ["rm", "--force", "--volumes", "a"]
    assert name_of("gpu0+gpu1", "ab") == "viiwork-gpu0.gpu1-ab"


def test_only_containers_whose_guard_is_gone_are_nobodys() -> None:
    """Neither those of a guard that lives, nor those with a label that is not ours."""
    me = guard_mark(os.getpid(), identity(os.getpid()) or "")
    said = Said(0, f"aa {me}\nbb {guard_mark(os.getpid(), 'another boot:1')}\ncc \ndd hello\n\n")
    assert listed(said.lines) == {"aa": me, "bb": f"{os.getpid()}/another boot:1", "cc": "", "dd": "hello"}
    assert abandoned(said) == ["bb"]
    assert guard_lives(me)
    assert (read_mark("12/x:9"), read_mark("x/1"), read_mark("12")) == ((12, "x:9"), None, None)
