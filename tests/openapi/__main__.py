"""`python -m tests.openapi SECONDS`: for so long, with other requests each time; `make openapi`."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from tests.front import serving
from tests.openapi.asking import ask
from tests.openapi.given import given
from viiwork.settings import load_settings
from viiwork.store import embedded


def main(seconds: str) -> int:
    """A service of its own, all that is asked of it, and what schemathesis says of that; its exit code."""
    with tempfile.TemporaryDirectory(prefix="viiwork-openapi-") as made:
        folder = Path(made)
        server = embedded.start(load_settings({"fleet": {"state_dir": str(folder / "redis")}}))
        try:
            with serving(server.url, folder, queue={"max_attempts": 1}) as front:
                more = ["--max-time", seconds, "--workers", "2"]
                outcome = ask(front.url, folder, given(front.url), examples=200, more=more)
                defects = front.log().count("Traceback")
        finally:
            server.stop()
    print(outcome.said)
    print(f"{outcome.answers.total()} answers, {defects} defects in the log")
    return outcome.code or min(defects, 1)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1] if len(sys.argv) > 1 else "600"))
