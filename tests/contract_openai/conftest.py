"""One service for the whole suite, and the official SDK as everybody has it, but that it believes no answer unseen."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from fpdf import FPDF
from openai import OpenAI

from tests.front import Front, serving

PASSWORD = "heliotrope-7"
QUICK_CALLBACKS = {
    "VIIWORK_CALLBACKS_ALLOW": '["127.0.0.0/8"]',
    "VIIWORK_CALLBACKS_RETRY_BASE_S": "0.05",
    "VIIWORK_CALLBACKS_RETRY_CAP_S": "0.2",
}


@pytest.fixture(scope="session")
def front(redis_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Front]:
    """The service; it may call receivers on this computer, and soon."""
    with serving(redis_url, tmp_path_factory.mktemp("front"), environ=QUICK_CALLBACKS) as made:
        yield made


@pytest.fixture(scope="session")
def sdk(front: Front) -> Iterator[OpenAI]:
    """`OpenAI(base_url=…)`, and every answer is held against the SDK's own types."""
    with OpenAI(
        base_url=f"{front.url}/v1", api_key="none is needed here", timeout=30, _strict_response_validation=True
    ) as client:
        yield client


@pytest.fixture(scope="session")
def plain(front: Front) -> Iterator[OpenAI]:
    """The same as it comes, for what OpenAI's own service does against those types too."""
    with OpenAI(base_url=f"{front.url}/v1", api_key="none is needed here", timeout=30) as client:
        yield client


@pytest.fixture(scope="session")
def pdf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A page of text."""
    made = FPDF()
    made.add_page()
    made.set_font("Helvetica", size=12)
    made.cell(text=f"The password of the vault is {PASSWORD}.")
    path = tmp_path_factory.mktemp("pdf") / "vault.pdf"
    made.output(str(path))
    return path
