"""What a benchmark says: figures with their units in their names, and goals that they reach or miss."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table

Figure = int | float | str


@dataclass(frozen=True, slots=True)
class Goal:
    """A figure that must be at least `at_least`, or at most `at_most`."""

    name: str
    at_least: float | None = None
    at_most: float | None = None

    def judge(self, figures: dict[str, Figure]) -> dict[str, Any]:
        """As it stands in the report. Raises KeyError or TypeError when the scenario lacks that figure."""
        figure = figures[self.name]
        if isinstance(figure, str):
            raise TypeError(f"{self.name} is text and cannot reach a goal")
        reached = (self.at_least is None or figure >= self.at_least) and (
            self.at_most is None or figure <= self.at_most
        )
        return {"name": self.name, "figure": figure, "goal": self.words, "reached": reached}

    def short_by(self, figure: int | float) -> float:
        """How far the figure is from the goal; 0 where it is reached."""
        below = 0.0 if self.at_least is None else self.at_least - figure
        above = 0.0 if self.at_most is None else figure - self.at_most
        return max(below, above, 0.0)

    @property
    def words(self) -> str:
        bounds = [
            f"{sign} {bound:g}" for sign, bound in ((">=", self.at_least), ("<=", self.at_most)) if bound is not None
        ]
        return " and ".join(bounds)


@dataclass(frozen=True, slots=True)
class Report:
    """One run of one scenario."""

    scenario: str
    figures: dict[str, Figure]
    goals: tuple[Goal, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """`{"scenario", "figures", "goals": [{"name", "figure", "goal", "reached"}]}`."""
        figures = {name: _rounded(figure) for name, figure in self.figures.items()}
        return {"scenario": self.scenario, "figures": figures, "goals": [goal.judge(figures) for goal in self.goals]}

    def as_json(self, *, indent: int | None = None) -> str:
        return json.dumps(self.as_dict(), indent=indent, ensure_ascii=False)

    def as_table(self) -> RenderableType:
        """For people."""
        told = self.as_dict()
        figures = Table("figure", title=self.scenario, title_justify="left")
        figures.add_column("value", justify="right")
        for name, figure in told["figures"].items():
            figures.add_row(name, f"{figure:,}" if isinstance(figure, int | float) else figure)
        goals = Table("goal", "wanted", "is", "reached")
        for goal in told["goals"]:
            goals.add_row(goal["name"], goal["goal"], str(goal["figure"]), "yes" if goal["reached"] else "no")
        return Group(figures, goals) if self.goals else figures


def as_markdown(reports: Sequence[Report]) -> str:
    """A page of the last results: goals first, then every figure."""
    told = [report.as_dict() for report in reports]
    lines = [
        "# Last results",
        "",
        "Written by `python -m bench all`; docs/performance.md says what the names mean.",
        "",
    ]
    lines += ["| scenario | goal | wanted | is | reached |", "|---|---|---|---|---|"]
    for report in told:
        for goal in report["goals"]:
            cells = (report["scenario"], goal["name"], goal["goal"], goal["figure"], "yes" if goal["reached"] else "no")
            lines.append("| " + " | ".join(map(str, cells)) + " |")
    for report in told:
        lines += ["", f"## {report['scenario']}", "", "| figure | value |", "|---|---|"]
        lines += [f"| {name} | {figure} |" for name, figure in report["figures"].items()]
    return "\n".join(lines) + "\n"


def _rounded(figure: Figure) -> Figure:
    """Four significant places at most: more would be a lie."""
    if not isinstance(figure, float):
        return figure
    return round(figure) if abs(figure) >= 100 else float(f"{figure:.3g}")
