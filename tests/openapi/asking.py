"""One run of schemathesis against a service, in a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.openapi.given import SUBMITTER

ROOT = Path(__file__).resolve().parents[2]
CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
    "negative_data_rejection",
    "unsupported_method",
    "allow_header_conformance",
)
"""Not `positive_data_acceptance`: some rules between fields no schema can say."""


@dataclass(frozen=True)
class Outcome:
    """What came of it; `answers` counts statuses by operation: `GET /v1/fleet 200`."""

    code: int
    said: str
    answers: Counter[str]

    def statuses(self, operation: str) -> set[int]:
        return {int(told.rpartition(" ")[2]) for told in self.answers if told.rpartition(" ")[0] == operation}


def ask(
    url: str, folder: Path, ids: Mapping[str, Sequence[str]], *, examples: int, more: Sequence[str] = ()
) -> Outcome:
    """Every operation of `url`'s document, with so many requests made up by chance beside those at its bounds."""
    told = folder / "told.json"
    command = [sys.executable, "-m", "schemathesis.cli", "run", f"{url}/openapi.json", "--no-color"]
    command += ["--checks", ",".join(CHECKS), "--max-examples", str(examples), "--phases", "examples,coverage,fuzzing"]
    command += [f"--header={name}: {value}" for name, value in SUBMITTER.items()]
    command += ["--no-shrink", "--continue-on-failure", "--request-timeout", "60", "--warnings", "off", *more]
    environ = os.environ | {
        "SCHEMATHESIS_HOOKS": "tests.openapi.hooks",
        "PYTHONPATH": f"{ROOT}{os.pathsep}{os.environ.get('PYTHONPATH', '')}",
        "VIIWORK_TEST_IDS": json.dumps(ids),
        "VIIWORK_TEST_TOLD": str(told),
    }
    done = subprocess.run(command, cwd=folder, env=environ, capture_output=True, text=True, check=False)
    answers = Counter[str](json.loads(told.read_text("utf-8"))) if told.exists() else Counter[str]()
    return Outcome(done.returncode, done.stdout + done.stderr, answers)
