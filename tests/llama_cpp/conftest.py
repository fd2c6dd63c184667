"""A real llama-server, made by `make llama-cpp`; not every machine has the program."""

from __future__ import annotations

from pathlib import Path

from tests.kit.asked import Suite

HERE = Path(__file__).parent
ENVIRONMENT = HERE.parents[1] / ".venv-llama-cpp"
MODEL = ENVIRONMENT / "tiny.gguf"
SUITE = Suite(folder=HERE, engine="llama.cpp", needs="a real llama-server and its tiny model", last_made=MODEL)

pytest_collection_modifyitems = SUITE.choose
pytest_terminal_summary = SUITE.tell
made = SUITE.made()
