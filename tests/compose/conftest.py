"""The compose fleet on a real Docker engine, for `make compose-test`; its images are built anew each time."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.compose.stack import Stack, find_compose
from tests.kit.asked import Suite

HERE = Path(__file__).parent


@dataclass(frozen=True)
class ComposeSuite(Suite):
    """Its target has the name that the file has."""

    @property
    def command(self) -> str:
        return "make compose-test"


SUITE = ComposeSuite(folder=HERE, engine="containers by compose.yaml", needs="Docker and Compose", last_made=HERE)

pytest_collection_modifyitems = SUITE.choose
pytest_terminal_summary = SUITE.tell


@pytest.fixture(scope="session")
def compose() -> list[str]:
    """Compose as it is here."""
    found = find_compose()
    if not found:
        pytest.exit("tests/compose needs Compose: `docker compose`, or `docker-compose`.", returncode=2)
    return found


@pytest.fixture(scope="session")
def bases() -> dict[str, str]:
    """What the images are built from: those of compose.yaml, or a stand-in; which, it says."""
    made = subprocess.run([HERE / "bases.sh"], stdout=subprocess.PIPE, text=True, check=False)
    if made.returncode != 0:
        pytest.exit("tests/compose has no images to build from.", returncode=2)
    return dict(zip(("python", "valkey", "network"), made.stdout.split(), strict=True))


@pytest.fixture(scope="module")
def stack(compose: list[str], bases: dict[str, str]) -> Iterator[Stack]:
    """Built and up; nothing of it is left afterwards, however the tests ended."""
    made = Stack(compose, **bases)
    print(f"compose-test: {' '.join(compose)} ({subprocess.getoutput(' '.join([*compose, 'version', '--short']))})")
    try:
        made.compose("build")
        made.make_key()
        made.compose("up", "--detach")
        yield made
    finally:
        made.remove()
