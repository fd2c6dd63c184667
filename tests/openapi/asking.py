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

LARGE = (
    "POST /v1/jobs",
    "POST /v1/analyses",
    "POST /v1/chat/completions",
    "POST /v1/completions",
    "POST /v1/keys",
    "POST /v1/keys/{key_name}/limits",
)
"""Their bodies have so many fields that all their bounds are two thirds of all requests: for the long form."""


@dataclass(frozen=True)
class Outcome:
    """What came of it; `answers` counts statuses by operation: `GET /v1/fleet 200`."""

    code: int
    said: str
    answers: Counter[str]

    def __add__(self, other: Outcome) -> Outcome:
        return Outcome(self.code or other.code, self.said + other.said, self.answers + other.answers)

    def statuses(self, operation: str) -> set[int]:
        return {int(told.rpartition(" ")[2]) for told in self.answers if told.rpartition(" ")[0] == operation}


def ask_briefly(url: str, folder: Path, ids: Mapping[str, Sequence[str]]) -> Outcome:
    """Every operation at its bounds, but the large ones by chance alone; the same requests each time."""
    same = ["--generation-deterministic"]
    large = [f"--include-name={name}" for name in LARGE]
    others = [f"--exclude-name={name}" for name in LARGE]
    return ask(url, folder, ids, examples=20, phases="examples,fuzzing", more=same + large) + ask(
        url, folder, ids, examples=3, more=same + others
    )


def ask(
    url: str,
    folder: Path,
    ids: Mapping[str, Sequence[str]],
    *,
    examples: int,
    phases: str = "examples,coverage,fuzzing",
    headers: Mapping[str, str] = SUBMITTER,
    checks: Sequence[str] = (),
    more: Sequence[str] = (),
) -> Outcome:
    """Operations of `url`'s document, with so many requests made up by chance beside those at its bounds."""
    told = folder / "told.json"
    told.unlink(missing_ok=True)
    command = [sys.executable, "-m", "schemathesis.cli", "run", f"{url}/openapi.json", "--no-color"]
    command += ["--checks", ",".join((*CHECKS, *checks)), "--max-examples", str(examples), "--phases", phases]
    command += [f"--header={name}: {value}" for name, value in headers.items()]
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
