"""`python -m tests.witnessed NAME`: a worker that keeps each record that it writes of a simulated card: `gpu0.all`."""

from __future__ import annotations

import sys

from viiwork.devices.simulated_files import CardFiles
from viiwork_workers.__main__ import main


def keep_all() -> None:
    """A line for each, in the order of their writing: nobody has to look at the right moment."""
    write = CardFiles._write

    def kept(self: CardFiles, text: str) -> None:
        with self._path("all").open("a", encoding="utf-8") as file:
            file.write(f"{text}\n")
        write(self, text)

    CardFiles._write = kept  # type: ignore[method-assign] # the one place where they are written


if __name__ == "__main__":
    keep_all()
    sys.exit(main())
