"""What a worker of a built-in engine loads."""

from __future__ import annotations

import subprocess
import sys

import pytest

LOOK = """
import sys
from viiwork.settings import load_settings
from viiwork_workers.engines.choose import make_engine
make_engine(load_settings({"engine": {"kind": sys.argv[1]}}), card="cpu0")
print("aiohttp" in sys.modules)
"""


@pytest.mark.parametrize("kind", ["noop", "simulated", "extractive"])
def test_a_built_in_engine_does_not_pay_for_a_client(kind: str) -> None:
    """9 MB and 0.1 s a worker, which only those use that speak to a server."""
    done = subprocess.run([sys.executable, "-c", LOOK, kind], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
