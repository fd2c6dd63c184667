"""The README's way from a clone to a table of fields, typed as it stands there, with a scripted engine at the URL."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.ports import free_port
from tests.workers import bare_environ

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
SECTION = "## A table of fields, by an engine of your own\n"
ADDRESS = "http://127.0.0.1:8080/v1"

SCRIPT: dict[str, dict[str, tuple[Any, str]]] = {
    "HB-2026-118": {
        "number": ("HB-2026-118", "INVOICE HB-2026-118"),
        "seller": ("Harbour Bakery", "Harbour Bakery, Quay Lane 4"),
        "issued": ("2026-05-14", "Sundvik, 14 May 2026"),
        "due": ("2026-05-28", "by 28 May 2026"),
        "total": (820, "Total                            EUR 820.00"),
        "currency": ("EUR", "EUR 820.00"),
    },
    "40771": {
        "number": ("40771", "Invoice no. 40771"),
        "seller": ("Lindqvist Roofing AB", "Lindqvist Roofing AB"),
        "issued": ("2026-03-02", "Date: 2026-03-02"),
        "due": ("2026-04-01", "Due on 1 April 2026."),
        "total": (15500, "To pay .................................. SEK 15,500"),
        "currency": ("SEK", "SEK 15,500"),
    },
    "BP/26/0907": {
        "number": ("BP/26/0907", "our number is\nBP/26/0907"),
        "seller": ("Brighton Press", "Tom Whitlock, Brighton Press"),
        "issued": ("2026-06-30", "This mail of 30 June 2026 is the invoice"),
        "due": (None, ""),
        "total": (312.4, "we charge GBP 312.40 in all"),
        "currency": ("GBP", "GBP 312.40"),
    },
}
"""What a good model would find, and the words that give it."""


def answer(fields: dict[str, tuple[Any, str]]) -> str:
    """As a model writes it: the quote before the value, null for what is not there."""
    return json.dumps(
        {name: None if v is None else {"quote": quote, "value": v} for name, (v, quote) in fields.items()}
    )


@pytest.fixture(scope="module")
def commands() -> list[str]:
    """The section's block, without prompts and remarks."""
    section = (ROOT / "README.md").read_text("utf-8").split(SECTION)[1].split("\n## ")[0]
    block = section.split("```console\n")[1].split("```")[0]
    return [re.sub(r"\s+# .*", "", line.removeprefix("$ ")) for line in block.splitlines()]


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[str]:
    """The address of a server that somebody runs already."""
    script = tmp_path / "script.json"
    script.write_text(json.dumps({mark: answer(fields) for mark, fields in SCRIPT.items()}))
    port = free_port()
    argv = [sys.executable, "-m", "tests.fakes.openai_server", "--port", str(port), "--model", "qwen3:8b"]
    with subprocess.Popen([*argv, "--script", str(script)], cwd=ROOT, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None and process.stdout.readline()
        yield f"http://127.0.0.1:{port}/v1"
        process.terminate()


@pytest.fixture
def shell(tmp_path: Path) -> Iterator[dict[str, Any]]:
    """A clone's folder with `viiwork` on the PATH; its fleet takes any port and is ended."""
    clone, bin_dir = tmp_path / "viiwork", tmp_path / "bin"
    clone.mkdir()
    shutil.copytree(ROOT / "samples", clone / "samples")
    bin_dir.mkdir()
    (bin_dir / "viiwork").write_text(f'#!/bin/sh\nexec "{sys.executable}" -m viiwork.cli.main "$@"\n')
    (bin_dir / "viiwork").chmod(0o755)
    environ = bare_environ() | {"PATH": f"{bin_dir}:{os.environ['PATH']}", "XDG_STATE_HOME": str(tmp_path / "state")}
    environ |= {"VIIWORK_API_PORT": "0", "VIIWORK_FLOWER_ENABLED": "false", "COLUMNS": "160"}
    place: dict[str, Any] = {"cwd": clone, "env": environ}
    yield place
    subprocess.run("viiwork down --now", shell=True, check=True, timeout=120, capture_output=True, **place)


def test_five_commands_lead_from_a_clone_to_a_table_of_fields(
    commands: list[str], engine: str, shell: dict[str, Any]
) -> None:
    """Each cell is what the document says, with its words; what the mail does not say is empty."""
    clone, setup, up, analyze, look = commands
    assert clone.startswith("git clone REPOSITORY viiwork && cd viiwork")
    subprocess.run(["make", "--dry-run", setup.split()[1]], cwd=ROOT, check=True, capture_output=True, timeout=60)
    assert setup.startswith("make ")
    assert ADDRESS in up
    for command in (up.replace(ADDRESS, engine), analyze, look):
        ended = subprocess.run(command, shell=True, text=True, capture_output=True, check=False, timeout=180, **shell)
        assert ended.returncode == 0, f"{command}\n{ended.stdout}\n{ended.stderr}"
    table = list(csv.DictReader(io.StringIO(ended.stdout.removeprefix("\ufeff"), newline="")))
    assert sorted(row["value.number"] for row in table) == sorted(SCRIPT)
    for row in table:
        found = SCRIPT[row["value.number"]]
        assert {name: row[f"value.{name}"] for name in found} == {
            name: "" if value is None else str(value) for name, (value, _) in found.items()
        }
        assert "not in the document" not in row["quotes"]
        assert row["quotes"].count("\n") == sum(value is not None for value, _ in found.values()) - 1


def test_the_script_answers_each_field_of_the_schema() -> None:
    """Or the table above would hold less than the README promises."""
    schema = json.loads((ROOT / "samples" / "invoice.json").read_text("utf-8"))
    assert all(schema["properties"].keys() == fields.keys() for fields in SCRIPT.values())
