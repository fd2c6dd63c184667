"""Where figures were taken: they mean little without it."""

from __future__ import annotations

import os
import platform
import subprocess
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path

from bench.report import Figure

ROOT = Path(__file__).resolve().parent.parent
BUSY_SHARE = 0.5
CPU_INFO = Path("/proc/cpuinfo")
PACKAGES = {"viiwork": "viiwork", "celery": "celery", "kombu": "kombu", "redis_py": "redis"}


def machine() -> dict[str, Figure]:
    """Cores, processor, load, versions and commit; asked before the run, whose own load is not meant."""
    return {
        "machine_cores": os.cpu_count() or 0,
        "machine_processor": _processor(),
        "machine_load_before": os.getloadavg()[0],
        "python_version": platform.python_version(),
        **{f"{name}_version": version(package) for name, package in PACKAGES.items()},
        "commit": commit(),
    }


def busy() -> str:
    """A warning when others use this machine, else nothing."""
    load, cores = os.getloadavg()[0], os.cpu_count() or 1
    if load < cores * BUSY_SHARE:
        return ""
    return f"This machine is busy (load {load:.1f} on {cores} cores): the figures will be low and scattered."


def commit() -> str:
    """The commit that ran, `+changes` when tracked files differ from it; `unknown` outside a checkout."""
    head = _git("rev-parse", "--short=12", "HEAD")
    changed = _git("status", "--porcelain", "--untracked-files=no", "--", "viiwork", "workers", "bench/*.py")
    return (head or "unknown") + ("+changes" if changed else "")


def _git(*words: str) -> str:
    try:
        done = subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True, check=False, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def _processor() -> str:
    with suppress(OSError):
        for line in CPU_INFO.read_text("utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.machine()
