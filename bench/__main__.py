"""`python -m bench NAME [--json]` runs one scenario, `python -m bench all` runs them all and writes bench/results/.

Exit codes: 0 it ran, whether its goals are reached or not (`reached` tells); 1 it could not be run to its end;
2 wrong usage; 130 Ctrl-C.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from bench import (
    balance,
    depth,
    dispatch,
    engine,
    fairness,
    footprint,
    interactive,
    longdocument,
    priority,
    reading,
    scaling,
)
from bench.flags import positive
from bench.gateway import scenario as gateway
from bench.machine import busy
from bench.report import Report, as_markdown
from bench.rig import Rig, make_rig
from bench.stopping import forget_settings, measured, stop_in_order
from viiwork.errors import ViiworkError

RESULTS = Path(__file__).resolve().parent / "results"
ALL = "all"


@dataclass(frozen=True, slots=True)
class Scenario:
    """A benchmark by name, and the size it has unless one is given."""

    about: str
    run: Callable[..., Awaitable[Report]]
    jobs: int = 500
    rounds: int = 9

    def on(self, rig: Rig, *, jobs: int | None, rounds: int | None) -> Awaitable[Report]:
        return self.run(rig, jobs=jobs or self.jobs, rounds=rounds or self.rounds)


SCENARIOS: Mapping[str, Scenario] = {
    "dispatch": Scenario("no-op jobs a second and single-job latency beside stock Celery", dispatch.run),
    "fairness": Scenario("ten jobs behind 50,000, beside running alone (simulated card)", fairness.run, 50_000, 5),
    "depth": Scenario("what a queue of 1,000,000 jobs costs", depth.run, 1_000_000, 3),
    "priority": Scenario("people beside long batch jobs (no cards)", priority.run, 480, 1),
    "balance": Scenario("how evenly pulling shares unequal jobs (no cards)", balance.run, 2000, 9),
    "engine": Scenario("real vLLM on the CPU through the queue, beside driving it directly", engine.run, 20_000, 8),
    "interactive": Scenario("a person's first token beside a full batch lane, real vLLM", interactive.run, 80, 3),
    "gateway": Scenario("a chat through the front door, beside LiteLLM's proxy and directly", gateway.run, 300, 7),
    "scaling": Scenario("what the queue leaves of 8 cards x 16 slots (no cards)", scaling.run, 5120, 2),
    "longdocument": Scenario("400 pages on four simulated cards, beside one of them", longdocument.run, 400, 2),
    "reading": Scenario("PDFs through the whole bounded reader, beside plain pypdfium2", reading.run, 3, 5),
    "footprint": Scenario(
        "what ten workers weigh, and use while nobody asks (a stand-in engine)", footprint.run, 5000, 3
    ),
}


def main(words: Sequence[str] | None = None) -> int:
    """The exit code."""
    options = _parser().parse_args(words)
    if options.name not in (*SCENARIOS, ALL):
        print(f"There is no scenario {options.name!r}: choose {', '.join(SCENARIOS)} or {ALL}.", file=sys.stderr)
        return 2
    forget_settings()
    stop_in_order()
    if warning := busy():
        print(warning, file=sys.stderr)
    names = list(SCENARIOS) if options.name == ALL else [options.name]
    try:
        reports = [_run(name, options) for name in names]
    except ViiworkError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("Stopped.", file=sys.stderr)
        return 130
    if options.name == ALL:
        write(reports, RESULTS)
    return 0


def write(reports: Sequence[Report], folder: Path) -> None:
    """NAME.json for each, and README.md with all of them."""
    folder.mkdir(exist_ok=True)
    for report in reports:
        (folder / f"{report.scenario}.json").write_text(report.as_json(indent=1) + "\n", "utf-8")
    (folder / "README.md").write_text(as_markdown(reports), "utf-8")


def _run(name: str, options: argparse.Namespace) -> Report:
    print(f"{name}: {SCENARIOS[name].about} …", file=sys.stderr)
    with make_rig() as rig:
        report = asyncio.run(measured(SCENARIOS[name].on(rig, jobs=options.jobs, rounds=options.rounds)))
    if options.json:
        print(report.as_json())
    else:
        Console().print(report.as_table())
    return report


def _parser() -> argparse.ArgumentParser:
    about = "\n".join(f"  {name:12} {scenario.about}" for name, scenario in SCENARIOS.items())
    parser = argparse.ArgumentParser(
        prog="python -m bench", epilog=f"scenarios:\n{about}", formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("name", metavar="NAME", help="a scenario, or `all`, which also writes bench/results/")
    parser.add_argument("--json", action="store_true", help="one JSON object a scenario, on standard output")
    parser.add_argument("--jobs", type=positive, metavar="N", help="jobs in each run")
    parser.add_argument("--rounds", type=positive, metavar="N", help="runs of each variant, interleaved")
    return parser


if __name__ == "__main__":
    sys.exit(main())
