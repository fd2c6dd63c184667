"""A supervisor in the background: it tells of its start through a pipe, one JSON event a line."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

from pydantic import ValidationError

from viiwork import errors
from viiwork.errors import StartupError, ViiworkError
from viiwork.fleet.describe import ending
from viiwork.fleet.plan import besides_settings, settings_env
from viiwork.fleet.report import Event, FaultReport, FleetReport, Report
from viiwork.settings import Settings
from viiwork.statedir import StateDir, rotate, tail


def start_detached(settings: Settings, *, report: Report) -> FleetReport:
    """Start a supervisor in a session of its own and wait until its fleet is ready.

    Raises what the supervisor raised.
    """
    state = StateDir(settings.state_dir)
    state.prepare()
    log = state.logs / "up.log"
    rotate(log)
    handle = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    try:
        process = subprocess.Popen(
            [sys.executable, "-m", "viiwork.fleet"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=handle,
            env={**besides_settings(os.environ), **settings_env(settings)},
            start_new_session=True,
        )
    finally:
        os.close(handle)
    try:
        return _follow(process, report)
    except KeyboardInterrupt:
        process.send_signal(signal.SIGTERM)
        process.wait()
        raise
    except EOFError as error:
        raise _ended(process.wait(), log) from error


def _ended(returncode: int, log: Path) -> StartupError:
    """What is said of a supervisor that ended before its fleet was ready, and told no error."""
    if returncode == 0:
        return StartupError("the fleet was stopped before it was ready, by `viiwork down` or a signal.")
    words = tail(log, lines=2)
    said = f" Its last words: {words}" if words else ""
    return StartupError(f"the fleet ended while it started ({ending(returncode)}).{said}", hint=f"See {log}.")


def _follow(process: subprocess.Popen[bytes], report: Report) -> FleetReport:
    """Read events until it is ready. Raises EOFError when it ends without a word."""
    if process.stdout is None:
        raise EOFError
    with process.stdout as pipe:
        for line in pipe:
            with suppress(ValidationError):
                event = Event.model_validate_json(line)
                if event.fleet is not None:
                    return event.fleet
                if event.fault is not None:
                    process.wait()
                    raise as_error(event.fault)
                report(event)
    process.wait()
    raise EOFError


def as_fault(error: ViiworkError) -> FaultReport:
    """An error as it goes through the pipe."""
    return FaultReport(kind=type(error).__name__, message=error.message, hint=error.hint)


def as_error(fault: FaultReport) -> ViiworkError:
    """The error again; a class that is not of `viiwork.errors` comes back as StartupError."""
    kind = getattr(errors, fault.kind, StartupError)
    if not (isinstance(kind, type) and issubclass(kind, ViiworkError)):
        kind = StartupError
    return kind(fault.message, hint=fault.hint)
