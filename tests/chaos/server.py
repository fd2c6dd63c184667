"""A private server that may be hurt: killed, kept away, cut off from its disk, its clock turned."""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path

import psutil

from viiwork.processes import is_alive
from viiwork.settings import Settings
from viiwork.store import embedded
from viiwork.store.binaries import find_binary

DISK_BYTES = 256 * 1024 * 1024
UNMOUNT_S = 30.0
FAKETIME = (
    "/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1",
    "/usr/lib/aarch64-linux-gnu/faketime/libfaketime.so.1",
)


class Server:
    """The embedded server of one stage. Its address and password outlive its process."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.data = settings.state_dir / "redis"
        self._running = self._launch()
        self.url = self._running.url

    @property
    def pid(self) -> int:
        return self._running.record.pid

    @property
    def append_only_file(self) -> Path:
        """The part that grows."""
        return max((self.data / "appendonlydir").glob("*.incr.aof"), key=lambda path: path.stat().st_mtime)

    def kill(self) -> None:
        """SIGKILL, and nothing else: it writes nothing out."""
        os.kill(self.pid, signal.SIGKILL)
        while is_alive(self.pid, self._running.record.identity) or self._running.is_alive():
            pass

    def start(self) -> None:
        """Start it again, on the same data and at the same address."""
        self._running = self._launch()
        assert self._running.url == self.url, "it came back at another address"

    def stop(self) -> None:
        self._running.stop()

    def disk_full(self) -> AbstractContextManager[None]:
        """Leave no room for a while."""
        raise NotImplementedError("this server has no disk of its own")

    def turn_clock(self, seconds: int) -> None:
        """Let the server's clock jump."""
        raise NotImplementedError("this server has the machine's clock")

    def _launch(self) -> embedded.RunningServer:
        return embedded.start(self.settings)


class SmallDiskServer(Server):
    """Its data lie on a small file system of their own; needs the right to mount."""

    def __init__(self, settings: Settings) -> None:
        data = settings.state_dir / "redis"
        data.mkdir(parents=True, mode=0o700)
        mount(data)
        super().__init__(settings)

    def stop(self) -> None:
        super().stop()
        unmount(self.data)

    @staticmethod
    def refused() -> str:
        """Why a disk cannot be mounted here; empty where it can."""
        with tempfile.TemporaryDirectory() as folder:
            try:
                mount(Path(folder))
            except OSError as error:
                return str(error)
            unmount(Path(folder))
        return ""

    @contextmanager
    def disk_full(self) -> Iterator[None]:
        filler = self.data / "filler"
        try:
            with filler.open("wb", buffering=0) as file, suppress(OSError):
                while True:
                    file.write(bytes(4096))
            yield
        finally:
            filler.unlink(missing_ok=True)


def mount(folder: Path) -> None:
    """Raises OSError where mounting is not allowed."""
    options = ["-t", "tmpfs", "-o", f"size={DISK_BYTES}", "chaos-test", str(folder)]
    asked = subprocess.run(["mount", *options], capture_output=True, text=True, check=False)
    if asked.returncode != 0:
        raise OSError(asked.stderr.strip() or "mounting is refused")


def unmount(folder: Path) -> None:
    """Give the disk back. A server's child that was killed with it may take a moment to let go of its files.

    Raises AssertionError that names who holds them still.
    """
    until = time.monotonic() + UNMOUNT_S
    while (asked := subprocess.run(["umount", str(folder)], capture_output=True, text=True, check=False)).returncode:
        assert time.monotonic() < until, f"{asked.stderr.strip()} Held by: {_holders(folder) or 'nobody'}"
        time.sleep(0.1)


def _holders(folder: Path) -> list[str]:
    found = []
    for process in psutil.process_iter(["pid", "cmdline"]):
        with suppress(OSError):
            about = Path(f"/proc/{process.pid}")
            held = [link.readlink() for link in (about / "cwd", *about.glob("fd/*")) if link.is_symlink()]
            if any(folder in (path, *path.parents) for path in held):
                found.append(f"{process.pid} {' '.join(process.info['cmdline'] or [])}")
    return found


class FalseClockServer(Server):
    """Its clock can be turned (libfaketime); intervals go on as they were, as after a correction of a real clock."""

    def __init__(self, settings: Settings) -> None:
        library = next(path for path in FAKETIME if Path(path).exists())
        self._clock = settings.state_dir / "clock"
        self._programs = settings.state_dir / "programs"
        self._programs.mkdir(parents=True)
        self.turn_clock(0)
        real = find_binary(os.environ).path
        wrapper = self._programs / "redis-server"
        told = f"FAKETIME_TIMESTAMP_FILE='{self._clock}' FAKETIME_NO_CACHE=1 FAKETIME_DONT_FAKE_MONOTONIC=1"
        wrapper.write_text(f"#!/bin/sh\nLD_PRELOAD={library} {told} exec '{real}' \"$@\"\n")
        wrapper.chmod(0o755)
        super().__init__(settings)

    def turn_clock(self, seconds: int) -> None:
        fresh = self._clock.with_suffix(".new")
        fresh.write_text(f"{seconds:+d}\n")
        fresh.replace(self._clock)

    def _launch(self) -> embedded.RunningServer:
        with on_path(self._programs):
            return super()._launch()


@contextmanager
def on_path(folder: Path) -> Iterator[None]:
    """Let what lies in `folder` be found before every other program."""
    before = os.environ["PATH"]
    os.environ["PATH"] = f"{folder}{os.pathsep}{before}"
    try:
        yield
    finally:
        os.environ["PATH"] = before
