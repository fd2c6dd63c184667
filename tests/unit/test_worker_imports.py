"""What an engine's worker has in memory: one runs beside every card, and its own program is most of what it weighs."""

from __future__ import annotations

import subprocess
import sys

import pytest

OTHERS = ("numpy", "wordllama", "tokenizers", "semchunk", "jinja2", "httpx", "rich", "jsonschema_rs", "regex")
"""Packages of readers, of other engines, and of answers that must have a shape; together 29 MB."""
LOADED = """
import sys
from celery.bin import worker
from viiwork_workers import __main__, app
from viiwork_workers.engines import choose
from viiwork_workers.engines.server import engine
print(*sorted({name.partition(".")[0] for name in sys.modules}))
"""


@pytest.fixture(scope="module")
def loaded() -> list[str]:
    """The packages that a worker whose engine is a server has loaded before its first job."""
    done = subprocess.run([sys.executable, "-c", LOADED], capture_output=True, text=True, check=True, timeout=60)
    return done.stdout.split()


@pytest.mark.parametrize("package", OTHERS)
def test_a_worker_of_a_server_loads_nothing_of_the_others(loaded: list[str], package: str) -> None:
    assert package not in loaded


def test_what_it_does_need_is_looked_for_by_the_right_names(loaded: list[str]) -> None:
    """Or the tests above would hold for anything."""
    assert {"celery", "kombu", "redis", "aiohttp", "pydantic"} <= set(loaded)
