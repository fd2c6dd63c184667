"""The program that runs containers on this host: docker or podman. One question to it, and its answer."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from pydantic import Field

from viiwork.errors import StartupError
from viiwork.wire import Wire

Kind = Literal["docker", "podman"]
KINDS: tuple[Kind, ...] = ("docker", "podman")
PASSED_ON = (
    *("PATH", "HOME", "USER", "LANG", "XDG_RUNTIME_DIR", "XDG_CONFIG_HOME", "XDG_DATA_HOME"),
    *("DOCKER_HOST", "DOCKER_CONTEXT", "DOCKER_CONFIG", "CONTAINER_HOST"),
)
"""What the program needs to find its daemon and its images."""
WHERE = ("DOCKER_HOST", "CONTAINER_HOST")
ANSWER_S = 20.0
"""For a question; a daemon that is busy with a large image takes seconds."""


class Client(Wire):
    """Which program, and with what environment it is called."""

    kind: Kind
    program: str
    """Its absolute path."""
    environ: dict[str, str] = Field(default_factory=dict)

    def command(self, words: Sequence[str]) -> list[str]:
        return [self.program, *words]


@dataclass(frozen=True, slots=True)
class Said:
    """What the program answered. `err` may hold paths: it is recognised, never shown."""

    code: int
    out: str = ""
    err: str = ""

    @property
    def lines(self) -> list[str]:
        return [line.strip() for line in self.out.splitlines() if line.strip()]


def find_client(wanted: str, *, environ: Mapping[str, str]) -> Client:
    """The program that the settings name, or with `auto` the first that is there. Raises StartupError."""
    kinds = [kind for kind in KINDS if wanted in ("auto", kind)]
    for kind in kinds:
        if program := shutil.which(kind, path=environ.get("PATH")):
            passed = {name: environ[name] for name in PASSED_ON if name in environ}
            _must_be_here(passed)
            return Client(kind=kind, program=os.path.abspath(program), environ=passed)  # noqa: PTH100 - keeps links
    named = " nor ".join(kinds)
    hint = "Install one: `sudo apt install docker.io` or `sudo apt install podman`."
    lacking = f"neither {named} is" if len(kinds) > 1 else f"{named} is not"
    raise StartupError(f"the engine runs in a container, and {lacking} on PATH.", hint=hint, param="engine.container")


def ask(client: Client, words: Sequence[str], *, limit_s: float = ANSWER_S) -> Said:
    """Run it and wait. Time over, or a program that cannot be run, is an answer too: with code -1."""
    try:
        done = subprocess.run(  # noqa: S603 - no shell, and the words are ours
            client.command(words),
            env=client.environ,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=limit_s,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return Said(-1, err=type(error).__name__)
    return Said(done.returncode, done.stdout.decode("utf-8", "replace"), done.stderr.decode("utf-8", "replace"))


def _must_be_here(environ: Mapping[str, str]) -> None:
    for name in WHERE:
        if environ.get(name, "unix:").partition(":")[0] not in ("unix", ""):
            raise StartupError(
                f"{name} names a daemon that is not on this computer.",
                hint=f"Unset {name}: an engine is reached on 127.0.0.1.",
                param="engine.container",
            )
