"""A fleet in containers, from the checked-in compose file: built, up, asked from the host, and gone without a trace."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.request import urlopen

ROOT = Path(__file__).resolve().parents[2]
SHIPPED = (
    "pyproject.toml",
    "README.md",
    "LICENSE",
    ".dockerignore",
    "compose.yaml",
    "requirements",
    "viiwork",
    "workers",
)
PATIENCE_S = 600.0
SECRET = "deploy/secrets/redis"


def find_compose() -> list[str]:
    """`docker compose`, else the older `docker-compose`; nothing where there is neither."""
    for words in (["docker", "compose"], ["docker-compose"]):
        if (
            shutil.which(words[0])
            and subprocess.run([*words, "version"], capture_output=True, check=False).returncode == 0
        ):
            return words
    return []


class Stack:
    """One project of Docker's, under a name of its own, in a folder of its own."""

    def __init__(self, compose: Sequence[str], *, python: str, valkey: str, network: str) -> None:
        self._compose = list(compose)
        self.name = f"viiwork-test-{secrets.token_hex(4)}"
        self.folder = Path(tempfile.mkdtemp(prefix=f"{self.name}-"))
        self.image = f"{self.name}:latest"
        self.api, self.flower = free_port(), free_port()
        self.password = secrets.token_hex(24)
        self.key = ""
        """Of an admin; without one the API does not start."""
        self._images = images()
        self._network = network
        kept = {name: value for name, value in os.environ.items() if not name.startswith("VIIWORK_")}
        self._env = kept | {
            "VIIWORK_IMAGE": self.image,
            "VIIWORK_PYTHON_IMAGE": python,
            "VIIWORK_VALKEY_IMAGE": valkey,
            "VIIWORK_API_PORT": str(self.api),
            "VIIWORK_FLOWER_PORT": str(self.flower),
        }
        self._lay_out()

    def compose(self, *arguments: str) -> str:
        """Run one command of Compose; what it printed. Raises CalledProcessError, whose output is shown first."""
        return self._run([*self._compose, "--project-name", self.name, *arguments])

    def viiwork(self, *arguments: str, expect: Sequence[int] = (0, 1)) -> str:
        """The command line on the host, against the published port; what it printed."""
        url = f"http://127.0.0.1:{self.api}"
        env = {"VIIWORK_URL": url, "VIIWORK_CONFIG": os.devnull, "VIIWORK_API_KEY": self.key}
        argv = [sys.executable, "-m", "viiwork.cli.main", *arguments]
        return self._run(argv, expect=expect, cwd=ROOT, extra=env)

    def make_key(self) -> None:
        """The first one, as the head of compose.yaml says."""
        self.key = self.compose(
            "run", "--rm", "-T", "api", "viiwork", "keys", "create", "test", "--scope", "admin"
        ).strip()

    def container(self, service: str) -> str:
        """Its id, whether it runs or not."""
        mine = [f"label=com.docker.compose.project={self.name}", f"label=com.docker.compose.service={service}"]
        filters = [word for each in mine for word in ("--filter", each)]
        return self._run(["docker", "ps", "--all", "--quiet", *filters]).strip()

    def inspected(self, service: str) -> dict[str, Any]:
        """All that Docker tells of it."""
        (told,) = json.loads(self._run(["docker", "inspect", self.container(service)]))
        found: dict[str, Any] = told
        return found

    def kill(self, service: str) -> None:
        """SIGKILL the one child of its init, so that the container ends as by a crash and Docker starts it again."""
        shot = "kill -9 $(cat /proc/1/task/1/children)"
        self._run(["docker", "exec", self.container(service), "sh", "-c", shot])

    def until(self, true: Callable[[], bool], *, what: str, within_s: float = 180.0) -> None:
        """Wait for it. Raises AssertionError with the services' last words."""
        deadline = time.monotonic() + within_s
        while not true():
            if time.monotonic() > deadline:
                raise AssertionError(f"{what}\n{self.compose('logs', '--tail', '20')}")
            time.sleep(0.5)

    def answers(self) -> bool:
        """Whether the API is ready."""
        with suppress(OSError), urlopen(f"http://127.0.0.1:{self.api}/health/ready") as answer:
            return bool(answer.status == 200)
        return False

    def left_behind(self) -> dict[str, list[str]]:
        """Whatever of this project is still there."""
        mine = ["--filter", f"label=com.docker.compose.project={self.name}", "--quiet"]
        return {
            "containers": self._run(["docker", "ps", "--all", *mine]).split(),
            "volumes": self._run(["docker", "volume", "ls", *mine]).split(),
            "networks": self._run(["docker", "network", "ls", *mine]).split(),
            "images": sorted(self._made()),
        }

    def remove(self) -> None:
        """Containers, volumes, networks, the images that the build made, and the folder; once is enough."""
        if not self.folder.exists():
            return
        try:
            self.compose("down", "--volumes", "--remove-orphans", "--timeout", "90")
            made = self._made()
            if made:
                self._run(["docker", "image", "rm", "--force", *made], expect=(0, 1))  # parents go with their children
        finally:
            shutil.rmtree(self.folder, ignore_errors=True)

    def _made(self) -> list[str]:
        """Images that are new and hold a fleet; others may build beside us."""
        return [each for each in images() - self._images if "/opt/viiwork" in self._history(each)]

    def _history(self, image: str) -> str:
        told = ["docker", "history", "--no-trunc", "--format", "{{.CreatedBy}}", image]
        return subprocess.run(told, capture_output=True, text=True, check=False).stdout

    def _lay_out(self) -> None:
        for name in SHIPPED:
            copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy2
            copy(ROOT / name, self.folder / name)
        (self.folder / "deploy").mkdir()
        shutil.copy2(ROOT / "deploy" / "Dockerfile", self.folder / "deploy")
        (self.folder / "deploy" / "secrets").mkdir(mode=0o700)
        (self.folder / SECRET).write_text(self.password, encoding="ascii")
        (self.folder / SECRET).chmod(0o644)
        if self._network != "default":
            build = {"services": {"api": {"build": {"context": ".", "network": self._network}}}}
            (self.folder / "compose.override.yaml").write_text(json.dumps(build), encoding="utf-8")

    def _run(
        self,
        argv: list[str],
        *,
        expect: Sequence[int] = (0,),
        cwd: Path | None = None,
        extra: dict[str, str] | None = None,
    ) -> str:
        env = self._env if extra is None else {k: v for k, v in self._env.items() if k[:8] != "VIIWORK_"} | extra
        done = subprocess.run(
            argv,
            cwd=cwd or (self.folder if self.folder.exists() else ROOT),
            env=env,
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
            check=False,
        )
        if done.returncode not in expect:
            print(done.stdout[-4000:], done.stderr[-4000:], sep="\n")
            raise subprocess.CalledProcessError(done.returncode, argv)
        return done.stdout


def images() -> set[str]:
    """All that the engine has, those without a name too."""
    listed = subprocess.run(["docker", "images", "--quiet", "--no-trunc"], capture_output=True, text=True, check=True)
    return set(listed.stdout.split())


def free_port() -> int:
    """One that nobody listens on just now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
