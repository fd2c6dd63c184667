"""An engine in a real container: the fake server, in an image that `make test-docker` makes of Debian's packages."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.docker.boxed import image
from tests.kit.asked import Suite

HERE = Path(__file__).parent
SUITE = Suite(folder=HERE, engine="containers", needs="a Docker engine and the tests' image", last_made=HERE)

pytest_collection_modifyitems = SUITE.choose
pytest_terminal_summary = SUITE.tell


@pytest.fixture(scope="session", autouse=True)
def made() -> None:
    """Says what to do where the image is missing."""
    if image() is None:
        pytest.exit(f"tests/docker needs {SUITE.needs}: run `{SUITE.command}`.", returncode=2)
