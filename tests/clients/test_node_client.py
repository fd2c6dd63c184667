"""The official Node SDK, unmodified: its own test runner against one service. What npm could not bring is skipped."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.clients.conftest import HERE, PLACE
from tests.front import MODEL

MODULES = PLACE / "node" / "node_modules"
NODE = shutil.which("node")
DOCS = HERE.parents[1] / "docs" / "api.md"
WITHOUT = (
    "no node_modules: `make clients` says why npm brought none" if NODE else "no Node.js: apt-get install nodejs npm"
)

pytestmark = pytest.mark.skipif(NODE is None or not (MODULES / "openai").is_dir(), reason=WITHOUT)


@pytest.mark.parametrize("script", ["asks.cjs", "batch.cjs"])
def test_the_sdk_is_content(script: str, service: str) -> None:
    """Each of its own tests passes; what it says is shown where one does not."""
    assert NODE is not None
    ended = subprocess.run(
        [NODE, "--test", str(HERE / "node" / script)],
        env=os.environ | {"URL": service, "MODEL": MODEL, "NODE_PATH": str(MODULES)},
        cwd=Path.home(),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr


def test_the_example_of_the_docs_answers(service: str, tmp_path: Path) -> None:
    """As it stands in docs/api.md, but for the address and the name of the model."""
    assert NODE is not None
    (example,) = re.findall(r"```javascript\n(.*?)```", DOCS.read_text("utf-8"), re.DOTALL)
    (tmp_path / "node_modules").symlink_to(MODULES)
    script = tmp_path / "example.mjs"
    script.write_text(example.replace("http://127.0.0.1:8400/v1", service).replace("mistral-7b", MODEL), "utf-8")
    ended = subprocess.run([NODE, str(script)], capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.strip()
