"""Other people's clients of the OpenAI API, in an environment of their own made by `make clients`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.front import serving
from tests.kit.asked import Suite

HERE = Path(__file__).parent
PLACE = HERE.parents[1] / ".venv-clients"
SUITE = Suite(folder=HERE, engine="clients of others", needs="LangChain and LiteLLM", last_made=PLACE / ".ready")

pytest_collection_modifyitems = SUITE.choose
pytest_terminal_summary = SUITE.tell
made = SUITE.made()


@pytest.fixture(scope="package")
def service(redis_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Where the OpenAI API is for all clients here; the model behind it writes at leisure."""
    with serving(redis_url, tmp_path_factory.mktemp("clients"), flags=("--embeds", "--token-s", "0.03")) as front:
        yield f"{front.url}/v1"
