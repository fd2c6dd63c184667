"""The service keeps what its OpenAPI document says: asked by schemathesis, within its bounds and beyond."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.front import Front, serving
from tests.openapi.asking import ask_briefly
from tests.openapi.given import given

REACHED = 5 / 6
"""So many operations succeed at least once. Others cannot (no host could swap a model), or what they need has ended."""


@pytest.fixture(scope="module")
def front(redis_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Front]:
    with serving(redis_url, tmp_path_factory.mktemp("front"), queue={"max_attempts": 1}) as made:
        yield made


@pytest.mark.timeout(300)
def test_what_the_document_says_is_kept(front: Front, tmp_path: Path) -> None:
    """No 5xx, no status, type or body that it does not tell of, nothing taken that it forbids; nearly all succeed."""
    outcome = ask_briefly(front.url, tmp_path, given(front.url))
    assert outcome.code == 0, outcome.said
    assert "Traceback" not in front.log()
    document = httpx.get(f"{front.url}/openapi.json", trust_env=False, timeout=60).json()
    operations = {f"{method.upper()} {path}" for path, item in document["paths"].items() for method in item}
    reached = {each for each in operations if any(status < 300 for status in outcome.statuses(each))}
    assert len(reached) >= REACHED * len(operations), operations - reached
