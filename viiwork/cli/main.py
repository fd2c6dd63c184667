"""Where the `viiwork` command begins; light, so that Ctrl-C is heard before all is loaded."""

from __future__ import annotations

import io
import sys

INTERRUPTED = 130
"""The exit code after Ctrl-C, as shells have it."""


def main() -> None:
    """The console script."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal that cannot show a character gets a mark, not a failure
    sys.exit(run(sys.argv[1:]))


def run(arguments: list[str]) -> int:
    """Run one command line; answers the exit code."""
    try:
        from viiwork.cli.commands import execute  # noqa: PLC0415 - heavy: Ctrl-C may come meanwhile

        return execute(arguments)
    except KeyboardInterrupt:
        return INTERRUPTED


if __name__ == "__main__":
    main()
