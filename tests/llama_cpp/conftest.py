"""A real llama-server, made by `make llama-cpp`; these tests want to be asked for: `make test-llama-cpp`."""

from __future__ import annotations

from pathlib import Path

import pytest

MARK = "llama_cpp"
HERE = Path(__file__).parent
ENVIRONMENT = HERE.parents[1] / ".venv-llama-cpp"
MODEL = ENVIRONMENT / "tiny.gguf"
LEFT_OUT = pytest.StashKey[int]()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Every test in this folder is marked: not every machine has the program."""
    ours = [item for item in items if HERE in item.path.parents]
    for item in ours:
        item.add_marker(MARK)
    if MARK in config.option.markexpr:
        return
    config.stash[LEFT_OUT] = len(ours)
    config.hook.pytest_deselected(items=ours)
    items[:] = [item for item in items if item not in ours]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Say what was not run."""
    if left_out := config.stash.get(LEFT_OUT, 0):
        terminalreporter.section("real llama.cpp, not run; `make test-llama-cpp` runs it")
        terminalreporter.write_line(f"{left_out} tests in tests/llama_cpp")


@pytest.fixture(scope="session", autouse=True)
def made() -> None:
    """Say what to do where the environment is missing."""
    if not MODEL.is_file():
        pytest.exit("tests/llama_cpp needs a real llama-server and its tiny model: run `make test-llama-cpp`.", 2)
