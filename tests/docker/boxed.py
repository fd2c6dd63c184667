"""The fake server in a container: its settings, and what of it runs."""

from __future__ import annotations

import json
import os
from functools import cache
from pathlib import Path
from typing import Any

from tests.fakes.launching import ROOT, engine_section
from viiwork.containers.client import Client, ask, find_client
from viiwork.containers.container import ENGINE
from viiwork.containers.image import look
from viiwork.errors import StartupError

NAME = "viiwork-engine-test:bookworm"
KIND = os.environ.get("TEST_CONTAINERS", "docker")
"""Or `podman`, into which the image was loaded: `docker save viiwork-engine-test:bookworm | podman load`."""


@cache
def client() -> Client:
    return find_client(KIND, environ=os.environ)


@cache
def image() -> str | None:
    """Its id; None where it is not to be had."""
    try:
        found = look(client(), NAME)
    except StartupError:
        return None
    return None if found is None else found.id


def boxed_section(folder: Path, *, flags: tuple[str, ...] = (), **container: Any) -> dict[str, Any]:
    """The settings' section `engine` of a fake vLLM in a container, that reads the tests' folder of this host."""
    told = {"mounts": [str(ROOT / "tests")], **container}
    section = engine_section(folder, "vllm", flags=flags, image=image(), container=told)
    return section | {"container": KIND}


def containers(state_dir: Path, worker: str = "cpu0") -> list[str]:
    """The ids of those that carry this engine's label, running or not."""
    return ask(client(), ["ps", "-aq", "--no-trunc", "--filter", f"label={ENGINE}={state_dir}:{worker}"]).lines


def inspected(identifier: str) -> dict[str, Any]:
    """All that docker tells of one."""
    found: dict[str, Any] = json.loads(ask(client(), ["container", "inspect", identifier]).out)[0]
    return found
