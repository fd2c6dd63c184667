"""`make demo`: a whole fleet from nothing, every sample through all three tasks, and the fleet down again.

It keeps to a temporary state directory of its own, which is gone afterwards, as are all processes, however it ends.
Exit code 0 when every good sample has an answer and every broken one its own reason.
"""

# ruff: noqa: T201 - a demonstration prints

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

from samples.verdict import Verdict, judge

HERE = Path(__file__).parent
QUESTION = "What is the notice period?"
PATIENCE_S = 180.0
SOME_FAILED = 1
"""What `viiwork analyze` answers when some documents have no answer; here the broken ones."""


def main() -> int:
    """The whole demonstration."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _as_interrupt)
    begin = time.monotonic()
    try:
        with fleet() as (run, folder):
            print(f"The fleet and all files named below are in {folder}, which is deleted at the end.")
            verdicts = analyse(run, folder)
    except KeyboardInterrupt:
        print("\nStopped; the fleet is down and its directory removed.")
        return 130
    except subprocess.CalledProcessError as error:
        print(f"The demonstration failed: `{' '.join(error.cmd[3:])}` ended with {error.returncode}.", file=sys.stderr)
        return 1
    except subprocess.TimeoutExpired as error:
        print(f"The demonstration failed: `{' '.join(error.cmd[3:])}` hangs.", file=sys.stderr)
        return 1
    return conclude(verdicts, seconds=time.monotonic() - begin)


class Run:
    """The `viiwork` command on one state directory, deaf to the settings of whoever runs the demonstration."""

    def __init__(self, state: Path) -> None:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("VIIWORK_")}
        self._env = kept | {
            "VIIWORK_CONFIG": os.devnull,
            "VIIWORK_FLEET_NAME": "demo",
            "VIIWORK_FLEET_STATE_DIR": str(state),
        }

    def __call__(self, *arguments: str, expect: Sequence[int] = (0,)) -> None:
        """Show the command and its output. Raises CalledProcessError when it ends otherwise than expected."""
        print(f"\n$ viiwork {' '.join(_quoted(argument) for argument in arguments)}", flush=True)
        argv = [sys.executable, "-m", "viiwork.cli.main", *arguments]
        with subprocess.Popen(argv, env=self._env) as process:  # noqa: S603 - our own command line
            returncode = _end_of(process)
        if returncode not in expect:
            raise subprocess.CalledProcessError(returncode, argv)


def _end_of(process: subprocess.Popen[bytes]) -> int:
    """Its exit code. An interrupt is passed on, so that `up` can take back what it has started."""
    try:
        return process.wait(PATIENCE_S)
    except KeyboardInterrupt:
        process.send_signal(signal.SIGINT)
        process.wait(PATIENCE_S)
        raise
    finally:
        process.kill()


@contextmanager
def fleet() -> Iterator[tuple[Run, Path]]:
    """A fleet that runs inside the block, and a folder to write in; both are gone afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="viiwork-demo-"))
    state = folder / "state"
    run = Run(state)
    try:
        run("up", "--detach", "--fleet", "demo", "--state-dir", str(state), "--port", "0", "--flower-port", "0")
        yield run, folder
    finally:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)  # a second Ctrl-C must not leave a fleet behind
        try:
            take_down(run, state)
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def take_down(run: Run, state: Path) -> None:
    """In order; in a hurry when that fails."""
    where = ("--fleet", "demo", "--state-dir", str(state))
    try:
        run("down", *where)
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired):
        run("down", "--now", *where)


def analyse(run: Run, folder: Path) -> list[Verdict]:
    """Every sample through every task; each time the rows are held against the list of what they should be."""
    listed: dict[str, Any] = json.loads((HERE / "expected.json").read_text(encoding="utf-8"))
    labels = folder / "labels.txt"
    labels.write_text("".join(f"{name}: {about}\n" for name, about in listed["labels"].items()), encoding="utf-8")
    tasks: dict[str, tuple[str, ...]] = {
        "summarize": (),
        "classify": ("--labels-file", str(labels)),
        "ask": ("--question", QUESTION),
    }
    verdicts = []
    for task, options in tasks.items():
        out = folder / f"{task}.jsonl"
        run("analyze", _shown(HERE / "documents"), "--task", task, *options, "--out", str(out), expect=(0, SOME_FAILED))
        rows = [json.loads(line) for line in out.read_text(encoding="utf-8").splitlines()]
        verdicts.append(judge(task, rows, listed["files"], question=QUESTION))
    return verdicts


def conclude(verdicts: Sequence[Verdict], *, seconds: float) -> int:
    """Say how it went; answers the exit code."""
    print()
    for verdict in verdicts:
        print(verdict.line)
        for complaint in verdict.complaints:
            print(f"  - {complaint}")
    good = all(not verdict.complaints for verdict in verdicts)
    how = "Done" if good else "Not as it should be"
    print(f"{how} in {seconds:.0f} s; the fleet is down and its files, the answers too, are deleted.")
    return 0 if good else 1


def _as_interrupt(_number: int, _frame: object) -> NoReturn:
    raise KeyboardInterrupt


def _shown(path: Path) -> str:
    here = Path.cwd()
    return str(path.relative_to(here)) if path.is_relative_to(here) else str(path)


def _quoted(argument: str) -> str:
    return f'"{argument}"' if " " in argument else argument


if __name__ == "__main__":
    sys.exit(main())
