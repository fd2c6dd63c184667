"""Suites of real engines, which want to be asked for: what was left out is said, and so is what is missing."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

LEFT_OUT = pytest.StashKey[dict[str, int]]()
Fixture = Any
"""Its type has no public name."""


@dataclass(frozen=True)
class Suite:
    """The tests of one folder: its conftest takes `choose` and `tell` as its hooks and `made` as a fixture."""

    folder: Path
    """Named as the suite's mark, and `make test-<its name>` runs it."""
    engine: str
    """As people call it: `vLLM`."""
    needs: str
    """What is made before these tests can run: `real vLLM and its tiny model`."""
    last_made: Path
    """A file that is there once all of it is."""

    @property
    def mark(self) -> str:
        return self.folder.name

    @property
    def command(self) -> str:
        return f"make test-{self.mark.replace('_', '-')}"

    def choose(self, config: pytest.Config, items: list[pytest.Item]) -> None:
        """Mark every test in the folder, and run it only where its mark is asked for."""
        ours = [item for item in items if self.folder in item.path.parents]
        for item in ours:
            item.add_marker(self.mark)
        if self.mark in config.option.markexpr:
            return
        config.stash.setdefault(LEFT_OUT, {})[self.mark] = len(ours)
        config.hook.pytest_deselected(items=ours)
        items[:] = [item for item in items if item not in ours]

    def tell(self, terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
        """Say what was not run."""
        if left_out := config.stash.get(LEFT_OUT, {}).get(self.mark, 0):
            terminalreporter.section(f"real {self.engine}, not run; `{self.command}` runs it")
            terminalreporter.write_line(f"{left_out} tests in tests/{self.folder.name}")

    def made(self) -> Fixture:
        """A fixture that says what to do where the environment is missing."""

        @pytest.fixture(scope="session", autouse=True)
        def made() -> None:
            if not self.last_made.is_file():
                pytest.exit(f"tests/{self.folder.name} needs {self.needs}: run `{self.command}`.", returncode=2)

        return made
