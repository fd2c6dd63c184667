"""A folder to answers on a real fleet: simulated cards, two people at once, another shell."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

SAMPLES = Path(__file__).parents[2] / "samples" / "documents"


class Shell:
    """A person's shell: an environment, and `viiwork` commands in it."""

    def __init__(self, environ: dict[str, str], folder: Path) -> None:
        clean = {k: v for k, v in os.environ.items() if not k.startswith(("VIIWORK_", "XDG_"))}
        self.environ = clean | environ
        self.folder = folder

    def start(self, *args: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "viiwork.cli", *args],
            env=self.environ,
            cwd=self.folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            # A shell starts its background jobs deaf to SIGINT, and so would be what these tests start from one.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )

    def run(self, *args: str, code: int = 0) -> str:
        process = self.start(*args)
        out, err = process.communicate(timeout=120)
        assert process.returncode == code, f"{args}: exit {process.returncode}\n{out}\n{err}"
        assert "Traceback" not in out + err
        return out


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shell]:
    """The shell in which a fleet of four simulated cards was brought up."""
    folder = tmp_path_factory.mktemp("home")
    shell = Shell({"XDG_STATE_HOME": str(folder / "state")}, folder)
    up = (
        "up",
        "--engine",
        "simulated",
        "--gpus",
        "4",
        "--time-scale",
        "0.05",
        "--port",
        "0",
        "--no-flower",
        "--detach",
    )
    shell.run(*up)
    yield shell
    shell.run("down")


@pytest.fixture(scope="module")
def elsewhere(home: Shell, tmp_path_factory: pytest.TempPathFactory) -> Shell:
    """Another shell, which knows the fleet by VIIWORK_URL only."""
    record = json.loads(next(Path(home.environ["XDG_STATE_HOME"]).rglob("run.json")).read_text())
    return Shell({"VIIWORK_URL": record["supervisor"]["api_url"]}, tmp_path_factory.mktemp("elsewhere"))


def rows(text: str) -> list[dict[str, Any]]:
    """The result rows among the JSON lines that a command printed."""
    return [line for line in map(json.loads, text.splitlines()) if "document" in line]


def folder_of(path: Path, count: int, word: str) -> Path:
    path.mkdir()
    for n in range(count):
        (path / f"{word}{n}.txt").write_text(f"This is document {n} about {word}. It says very little.\n" * 20)
    return path


def test_four_simulated_workers_stand_in_the_fleet(home: Shell) -> None:
    """They are named after their cards, and called simulated wherever they show."""
    fleet = json.loads(home.run("status", "--json"))
    cards = [worker["card"] for worker in fleet["workers"] if worker["card"]["engine"] != "reader"]
    assert [card["name"].partition("@")[0] for card in cards] == ["gpu0", "gpu1", "gpu2", "gpu3"]
    assert all("simulated" in card["engine"] for card in cards)


def test_a_folder_is_analysed_from_another_shell_with_only_the_url(elsewhere: Shell) -> None:
    """Every good sample has an answer, each bad one a reason of its own, and the exit code says that some failed."""
    found = rows(elsewhere.run("analyze", str(SAMPLES), "--task", "summarize", "--json", code=1))
    assert len(found) == len(list(SAMPLES.iterdir())) + 1  # an e-mail has something attached
    bad = {row["document"]: row["error"]["code"] for row in found if row.get("error")}
    assert all(Path(name).name.startswith("bad-") for name in bad)
    assert len(set(bad.values())) == len(bad)
    assert all("imulated" in row["answer"]["notice"] for row in found if row.get("answer"))


def test_two_analyses_at_once_do_not_mix(home: Shell, elsewhere: Shell, tmp_path: Path) -> None:
    """Each person gets the rows of the own folder, all of them and no other."""
    apples, pears = folder_of(tmp_path / "a", 40, "apples"), folder_of(tmp_path / "p", 40, "pears")
    first = home.start("analyze", str(apples), "--task", "ask", "--question", "What is it about?", "--json")
    second = elsewhere.start("analyze", str(pears), "--labels", "fruit,other", "--json")
    for process, word in ((first, "apples"), (second, "pears")):
        out, err = process.communicate(timeout=120)
        assert process.returncode == 0, err
        assert sorted(Path(row["document"]).name for row in rows(out)) == sorted(f"{word}{n}.txt" for n in range(40))


def test_ctrl_c_detaches_and_results_go_on_in_a_half_written_file(home: Shell, tmp_path: Path) -> None:
    """The analysis goes on without its terminal; `results --out` mends a torn last line and adds what is missing."""
    folder = folder_of(tmp_path / "docs", 400, "figs")  # more than four quick cards do before it is held
    process = home.start("analyze", str(folder), "--task", "summarize")
    line = process.stderr.readline() if process.stderr else ""
    analysis = next(word.rstrip(":") for word in line.split() if word.startswith("an_"))
    home.run("pause", analysis)  # it would be over while a busy machine did something else
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=120)
    assert f"viiwork watch {analysis}" in out + err
    assert f"viiwork cancel {analysis}" in out + err
    home.run("resume", analysis)
    home.run("watch", analysis)
    whole = tmp_path / "whole.jsonl"
    home.run("results", analysis, "--out", str(whole))
    assert len(whole.read_text().splitlines()) == 400
    torn = tmp_path / "torn.jsonl"
    torn.write_text(whole.read_text()[:4000])
    home.run("results", analysis, "--out", str(torn))
    assert torn.read_text() == whole.read_text()


def test_a_cancelled_analysis_ends_and_says_so(home: Shell, tmp_path: Path) -> None:
    """What was not done is marked cancelled; nothing stays queued."""
    folder = folder_of(tmp_path / "docs", 1000, "plums")
    started = json.loads(home.run("analyze", str(folder), "--task", "summarize", "--no-wait", "--json").splitlines()[0])
    home.run("cancel", started["id"])
    status = json.loads(home.run("status", started["id"], "--json"))
    assert status["state"] == "cancelled"
    counts = status["counts"]
    assert counts["succeeded"] + counts["failed"] + counts["cancelled"] == counts["total"] == 1000


BAD = (("cut.pdf", b"%PDF-1.7 cut off"), ("empty.txt", b""), ("noise.bin", bytes(range(256)) * 9))


def mixed_files(folder: Path, count: int) -> None:
    """Texts, pages and letters of very different lengths, every tenth of them bad."""
    folder.mkdir()
    for n in range(count):
        sentence = f"Paragraph {n} of this paper says something new about subject {n * 7 % 31}."
        words = " ".join([sentence] * (n * 9 % 700 + 3))
        if n % 10 == 9:
            name, content = BAD[n // 10 % 3]
            (folder / f"{n:03}-{name}").write_bytes(content)
        elif n % 3 == 0:
            (folder / f"{n:03}.html").write_text(f"<title>Paper {n}</title><h1>Part one</h1><p>{words}</p>")
        elif n % 3 == 1:
            (folder / f"{n:03}.txt").write_text(words)
        else:
            (folder / f"{n:03}.md").write_text(f"# Paper {n}\n\n## Findings\n\n{words}\n")


def test_an_estimate_says_what_the_run_then_takes(home: Shell, tmp_path: Path) -> None:
    """Documents, reasons, pages and calls to the last one; tokens but for what the engine reckons for a template.

    The next one is reckoned by that run.
    """
    folder = tmp_path / "mixed"
    mixed_files(folder, 60)
    order = ("analyze", str(folder), "--task", "summarize")
    told = json.loads(home.run(*order, "--estimate", "--json"))
    found = rows(home.run(*order, "--json", code=1))
    reasons = Counter(row["error"]["code"] for row in found if row.get("error"))
    answers = [row["answer"] for row in found if row.get("answer")]
    assert (told["files"], told["documents"], told["unreadable"]) == (60, len(answers), dict(sorted(reasons.items())))
    assert told["pages"] == sum(answer["pages"] for answer in answers)
    maps, merges = sum(answer["parts"] for answer in answers), sum(answer["parts"] > 1 for answer in answers)
    assert told["calls"] == {"maps": maps, "merges": [merges, merges]}
    assert merges > 0
    taken = sum(answer["usage"]["prompt_tokens"] for answer in answers)
    low, high = told["prompt_tokens"]
    slack = 40 * (maps + merges) + 100 * merges
    assert low - slack <= taken <= high + slack
    assert sum(answer["usage"]["output_tokens"] for answer in answers) <= told["output_tokens_at_most"]
    again = json.loads(home.run(*order, "--estimate", "--json"))
    assert {run["task"] for run in again["reckoned_by"]} == {"summarize"}
    assert 0 < again["seconds"][0] <= again["seconds"][1]
    words = home.run(*order, "--estimate")
    assert "Reckoned by" in words
    assert "imulated" in words
