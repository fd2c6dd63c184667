"""People's own commands against a fleet of two workers, each with real vLLM: documents through both, an answer live."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from samples.verdict import every_row
from tests.kit.works import LETTER
from tests.schemas import TAKEN
from tests.sealed_day import MARK, left_in_files, odd_shapes
from tests.terminal import Terminal
from tests.vllm.conftest import MODEL
from tests.vllm.tiny import ALIAS, CONTEXT, START_S
from tests.workers import bare_environ
from viiwork import Client, TextDocument
from viiwork.documents.shapes import validator_of
from viiwork.fleet.plan import TAG
from viiwork.processes import tagged
from viiwork.statedir import StateDir

pytestmark = pytest.mark.timeout(START_S * 4)
ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = ROOT / "samples" / "documents"
TIMES = 3
"""So often each document is sent, so that there is work for two."""
PROMPT = "Say in one sentence what this document is about."


class Fleet:
    """The command line on a state directory of its own."""

    def __init__(self, root: Path) -> None:
        kept = bare_environ()
        self.state_dir = root / "state"
        self.env = {**kept, "VIIWORK_FLEET_STATE_DIR": str(self.state_dir), "COLUMNS": "200"}
        self.root = root
        self.url = ""

    def viiwork(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        argv = [sys.executable, "-m", "viiwork.cli.main", *arguments]
        return subprocess.run(
            argv, env=self.env, cwd=self.root, capture_output=True, text=True, timeout=START_S * 2, check=False
        )

    def told(self, *arguments: str) -> Any:
        """Its JSON."""
        ended = self.viiwork(*arguments, "--json")
        assert ended.returncode == 0, ended.stdout + ended.stderr
        return json.loads(ended.stdout)

    def cards(self) -> list[dict[str, Any]]:
        """Of the workers that hold the model."""
        return [at["card"] for at in self.told("status")["workers"] if at["card"]["model"] == ALIAS]


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    """Up, with both engines loading; down afterwards, and nothing of it left."""
    made = Fleet(tmp_path_factory.mktemp("fleet"))
    engine = ("--engine", "vllm", "--model", str(MODEL), "--alias", ALIAS, "--slots", "8", "--context", str(CONTEXT))
    size = ("--cpus", "2", "--readers", "1", "--no-flower", "--port", "0")
    up = made.viiwork("up", "--detach", "--json", *engine, *size)
    assert up.returncode == 0, up.stdout + up.stderr
    made.url = json.loads(up.stdout)["api_url"]
    yield made
    down = made.viiwork("down")
    assert down.returncode == 0, down.stdout + down.stderr
    assert tagged(TAG, str(made.state_dir)) == []


def test_documents_go_through_both_workers(fleet: Fleet) -> None:
    """They may be sent while the engines load; what can be read is answered by real vLLM, the others say why not."""
    out = fleet.root / "rows.jsonl"
    asked = ("--task", "prompt", "--prompt", PROMPT, "--model", ALIAS, "--out", str(out))
    ended = fleet.viiwork("analyze", *(str(DOCUMENTS) for _ in range(TIMES)), *asked)
    rows = [json.loads(row) for row in out.read_text("utf-8").splitlines()]
    listed = json.loads((DOCUMENTS.parent / "expected.json").read_text("utf-8"))["files"]
    there = [bool(entry["bad"]) for entry in every_row(listed).values()]
    assert ended.returncode == 1, ended.stdout + ended.stderr
    assert Counter(row["state"] for row in rows) == {
        "succeeded": TIMES * there.count(False),
        "failed": TIMES * there.count(True),
    }
    answered = [row["answer"] for row in rows if row["state"] == "succeeded"]
    assert all(answer["text"].strip() for answer in answered)
    assert {answer["engine"] for answer in answered} == {"vLLM (CPU)"}
    tokens = [card["output_tokens"] for card in fleet.cards()]
    assert len(tokens) == 2
    assert all(tokens), tokens


def test_an_answer_is_seen_while_it_is_written(fleet: Fleet) -> None:
    """On a terminal: its beginning stands there long before its end."""
    with Terminal(["ask", "What is a lease?", "--max-tokens", "1500"], url=fleet.url) as terminal:
        terminal.wait_for(" ")
        assert terminal.process.poll() is None
        begun = len(terminal.screen)
        assert terminal.end() == 0
    assert len(terminal.screen) > 2 * begun


def test_each_kind_of_schema_is_filled_or_its_row_says_why_not(fleet: Fleet) -> None:
    """Of noise, which the engine is held to the schema in: what it did not bring to an end has no valid answer."""
    letters = [TextDocument(text=f"{number}. {LETTER}", name=f"letter-{number}.txt") for number in range(2)]
    filled = dict[str, int]()
    with Client(fleet.url) as client:
        started = {
            kind: client.analyze(letters, task="extract", schema=schema, model=ALIAS, max_output_tokens=300)
            for kind, schema in TAKEN.items()
        }
        for kind, analysis in started.items():
            rows = list(analysis)
            filled[kind] = sum(row.answer is not None for row in rows)
            valid = validator_of(TAKEN[kind])
            assert all(valid.is_valid(row.answer.value) for row in rows if row.answer), kind
            whys = [row.error.code for row in rows if row.error]
            assert len(whys) == len(letters) - filled[kind], kind
            assert {*whys} <= {"invalid_output", "incomplete"}, (kind, whys)  # the second: of what must be there
    assert sum(map(bool, filled.values())) >= len(TAKEN) // 2, filled


def test_no_log_says_what_was_asked(fleet: Fleet) -> None:
    """Nor shows a schema that the engine cannot be held to."""
    letter = TextDocument(text=f"{LETTER} {MARK}", name=f"{MARK}.txt")
    with Client(fleet.url) as client:
        (row,) = client.analyze([letter], task="prompt", prompt=f"Who is {MARK}?", model=ALIAS, max_output_tokens=16)
    assert row.answer is not None
    odd_shapes(fleet.url)
    assert left_in_files(StateDir(fleet.state_dir)) == []
