"""The table of faults that a run measures, and the long runs that a plain one leaves out."""

from __future__ import annotations

from pathlib import Path
from typing import NoReturn

import pytest

from tests.chaos.table import Row, as_markdown, write_json

LONG = "chaos_long"
MEASURED = Path(__file__).with_name("measured.json")
"""The last long run; docs/reliability.md has its table."""


class Table:
    """What has been measured so far."""

    def __init__(self) -> None:
        self.rows: list[Row] = []
        self.not_run: list[str] = []

    def add(self, row: Row) -> None:
        self.rows.append(row)

    def skip(self, fault: str, reason: str) -> NoReturn:
        """Leave a fault out, and say so."""
        self.not_run.append(f"{fault}: {reason}")
        pytest.skip(reason)


TABLE = pytest.StashKey[Table]()
LEFT_OUT = pytest.StashKey[list[str]]()


@pytest.fixture(scope="session")
def chaos_table(request: pytest.FixtureRequest) -> Table:
    """Printed at the end of the run."""
    return request.config.stash.setdefault(TABLE, Table())


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """The long runs take twenty minutes: they want to be asked for."""
    if LONG in config.option.markexpr:
        return
    long = [item for item in items if item.get_closest_marker(LONG)]
    config.stash[LEFT_OUT] = [item.name for item in long]
    config.hook.pytest_deselected(items=long)
    items[:] = [item for item in items if item not in long]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """The table, and what is missing in it."""
    left_out = config.stash.get(LEFT_OUT, [])
    if left_out:
        terminalreporter.section("long fault runs, not run; `make chaos` runs them")
        for name in left_out:
            terminalreporter.write_line(name)
    table = config.stash.get(TABLE, Table())
    if table.rows or table.not_run:
        terminalreporter.section("faults")
        terminalreporter.write_line(as_markdown(table.rows))
        for line in table.not_run:
            terminalreporter.write_line(f"not run: {line}")
        write_json(MEASURED, table.rows, table.not_run)
