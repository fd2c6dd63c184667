"""Runs of `viiwork analyze` with a record: sampled, taken up again, repeated."""

from __future__ import annotations

import json
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

import commands
from service import Service
from standin import MODEL
from tests.terminal import Terminal
from viiwork.bigrun.methods import methods
from viiwork.bigrun.record import Engine, Part, RunRecord, SentFile, Tally, beside, read_record, write_record
from viiwork.bigrun.setup import Setup
from viiwork.errors import UsageError
from viiwork.work import AnalysisTask, TaskOptions, Usage

Cli = Callable[..., tuple[int, str]]


@pytest.fixture
def cli(cli: commands.Cli, service: Service) -> Cli:
    """The exit code, and what was said on standard error."""

    def call(*arguments: object) -> tuple[int, str]:
        code, _, said = cli(*arguments)
        return code, said

    return call


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Six documents."""
    root = tmp_path / "papers"
    root.mkdir()
    for n in range(6):
        (root / f"{n}.txt").write_text(f"Paper number {n}.")
    return root


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "rows.jsonl"


def rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def names(path: Path) -> list[str]:
    return sorted(row["document"] for row in rows(path))


class TestSampleAndResume:
    def test_the_full_run_uses_the_rows_of_the_sample(self, cli: Cli, folder: Path, out: Path) -> None:
        """Two are drawn, four are done by `--resume`, and none twice; then there is nothing left to do."""
        assert cli("analyze", folder, "--sample", 2, "--seed", 7, "--out", out)[0] == 0
        drawn = names(out)
        assert len(drawn) == 2
        code, said = cli("analyze", folder, "--out", out, "--resume")
        assert (code, "2 of 6 files are done already" in said) == (0, True)
        assert names(out) == [f"{n}.txt" for n in range(6)]
        record = read_record(beside(out))
        assert [(part.sample, part.seed, len(part.files)) for part in record.parts] == [(2, 7, 2), (None, None, 4)]
        assert record.tally.documents == 6
        assert "2 documents of them were a random pilot, drawn by seed 7." in record.methods
        before = out.read_bytes()
        assert cli("analyze", folder, "--out", out, "--resume")[0] == 0
        assert out.read_bytes() == before

    def test_the_same_seed_draws_the_same(self, cli: Cli, folder: Path, tmp_path: Path) -> None:
        for name in ("a", "b"):
            cli("analyze", folder, "--sample", 3, "--out", tmp_path / name)
        assert names(tmp_path / "a") == names(tmp_path / "b")

    def test_what_failed_is_done_again_and_has_one_row(self, cli: Cli, folder: Path, out: Path) -> None:
        """And what has an answer is not: its row stays as it was."""
        (folder / "crash.txt").write_text("broken")
        assert cli("analyze", folder, "--out", out)[0] == 1
        first = {row["document"]: row["analysis"] for row in rows(out)}
        assert cli("analyze", folder, "--out", out, "--resume")[0] == 1
        second = {row["document"]: row["analysis"] for row in rows(out)}
        assert len(rows(out)) == 7
        assert {name for name in first if first[name] != second[name]} == {"crash.txt"}
        assert read_record(beside(out)).tally.failures == {"crash": 1}

    def test_what_cannot_be_read_by_its_content_is_done(self, cli: Cli, folder: Path, out: Path) -> None:
        """One such file in an archive had the whole archive asked again, each time."""
        (folder / "bad.txt").write_text("broken")
        (folder / "papers.zip").write_text("a.txt\nbad.png\nb.txt")
        assert cli("analyze", folder, "--out", out)[0] == 1
        before = out.read_bytes()
        code, said = cli("analyze", folder, "--out", out, "--resume")
        assert (code, "8 of 8 files are done already" in said) == (1, True)
        assert out.read_bytes() == before
        assert len(read_record(beside(out)).parts) == 1

    def test_answers_of_an_archive_stay_until_as_many_have_come_again(self, tmp_path: Path, out: Path) -> None:
        """The analysis that makes them anew is cancelled: they are still there, and the next one replaces them."""
        archive = tmp_path / "papers.zip"
        archive.write_text("a.txt\ncrash.txt\nb.txt")
        with Service(tmp_path / "head", idle=True) as service:

            def analyze(*flags: str, then: Callable[[str], Coroutine[Any, Any, object]]) -> str:
                with Terminal(["analyze", str(archive), "--out", str(out), *flags], url=service.url) as terminal:
                    terminal.wait_for("0 of 1 done")
                    analysis = read_record(beside(out)).parts[-1].id
                    service.run(then(analysis))
                    assert terminal.end() == 1
                return analysis

            first = analyze(then=lambda _: service.worker.work())
            before = out.read_bytes()
            analyze("--resume", then=service.store.cancel_batch)
            assert out.read_bytes() == before
            last = analyze("--resume", then=lambda _: service.worker.work())
        assert names(out) == [f"papers.zip/{name}" for name in ("a.txt", "b.txt", "crash.txt")]
        assert {row["analysis"] for row in rows(out)} == {last} != {first}

    def test_a_renamed_file_is_done_and_another_content_is_not(self, cli: Cli, folder: Path, out: Path) -> None:
        cli("analyze", folder, "--out", out)
        (folder / "0.txt").rename(folder / "zero.txt")
        (folder / "1.txt").write_text("Another paper.")
        assert "5 of 6 files are done already" in cli("analyze", folder, "--out", out, "--resume")[1]
        assert len(rows(out)) == 7

    @pytest.mark.parametrize(
        ("flags", "named"),
        [
            (("--question", "When?"), "the question"),
            (("--question", "Who?", "--max-tokens", "9"), "max-tokens (256, now 9)"),
            (("--prompt", "Do it."), "the task"),
        ],
    )
    def test_what_has_changed_is_named_and_nothing_is_sent(
        self, cli: Cli, folder: Path, out: Path, flags: tuple[str, ...], named: str
    ) -> None:
        cli("analyze", folder, "--question", "Who?", "--out", out)
        code, said = cli("analyze", folder, *flags, "--out", out, "--resume")
        assert (code, named in said) == (2, True)
        assert len(rows(out)) == 6

    @pytest.mark.parametrize(
        ("flags", "named"),
        [
            (("--style", "bullets"), "the style (none, now bullets)"),
            (
                ("--language", "German", "--style", "prose"),
                "the style (none, now prose); the language (none, now German)",
            ),
        ],
    )
    def test_an_option_that_has_changed_is_named_in_words(
        self, cli: Cli, folder: Path, out: Path, flags: tuple[str, ...], named: str
    ) -> None:
        cli("analyze", folder, "--out", out)
        code, said = cli("analyze", folder, *flags, "--out", out, "--resume")
        assert (code, named in " ".join(said.split())) == (2, True)
        assert "{" not in said

    def test_labels_that_are_described_otherwise_are_named_once(self, cli: Cli, folder: Path, out: Path) -> None:
        """Their names are the same: shown beside each other they would say nothing."""
        cli("analyze", folder, "--labels", "paper,letter", "--out", out)
        said = cli("analyze", folder, "--labels", "paper:printed,letter", "--out", out, "--resume")[1]
        assert "are now the labels." in " ".join(said.split())

    def test_a_run_whose_command_died_is_collected_and_not_sent_again(self, cli: Cli, folder: Path, out: Path) -> None:
        """The service went on with it; the file had one row and half of another."""
        cli("analyze", folder, "--out", out)
        whole, record = out.read_bytes(), read_record(beside(out))
        write_record(beside(out), record.with_part(record.parts[0].model_copy(update={"finished_ms": None})))
        out.write_bytes(whole[: whole.index(b"\n") + 20])
        code, said = cli("analyze", folder, "--out", out, "--resume")
        assert (code, "was begun earlier" in said) == (0, True)
        assert out.read_bytes() == whole
        assert len(read_record(beside(out)).parts) == 1

    def test_an_analysis_that_the_service_has_lost_is_done_again(self, cli: Cli, folder: Path, out: Path) -> None:
        cli("analyze", folder, "--out", out)
        record = read_record(beside(out))
        gone = record.parts[0].model_copy(update={"finished_ms": None, "id": "an_01ff00000000000000000000aa"})
        write_record(beside(out), record.model_copy(update={"parts": (gone,)}))
        out.unlink()
        code, said = cli("analyze", folder, "--out", out, "--resume")
        assert (code, "is gone" in said) == (0, True)
        assert len(rows(out)) == 6

    def test_flags_that_do_not_go_together_are_refused(self, cli: Cli, folder: Path, out: Path) -> None:
        assert cli("analyze", folder, "--resume")[0] == 2
        assert cli("analyze", folder, "--seed", 3)[0] == 2
        assert cli("analyze", folder, "--estimate", "--sample", 3)[0] == 2
        assert cli("analyze")[0] == 2
        out.write_text('{"analysis": "an_x"}\n')
        code, said = cli("analyze", folder, "--out", out, "--resume")
        assert (code, "is not there" in said) == (2, True)


class TestFrom:
    def test_a_record_repeats_its_run(self, cli: Cli, folder: Path, out: Path, tmp_path: Path) -> None:
        """The same question of the same files, and a remark on what is not as it was."""
        cli("analyze", folder, "--question", "Who signed?", "--out", out)
        again = tmp_path / "again.jsonl"
        code, said = cli("analyze", "--from", beside(out), "--out", again)
        assert (code, "Not as then" in said) == (0, False)
        assert names(again) == names(out)
        (folder / "6.txt").write_text("One more.")
        code, said = cli("analyze", "--from", beside(out), "--out", tmp_path / "third.jsonl")
        assert "1 files have other content or are new" in said
        record = read_record(beside(again))
        assert (record.task, record.options.question) == (AnalysisTask.ASK, "Who signed?")

    def test_a_sample_is_drawn_again(self, cli: Cli, folder: Path, out: Path, tmp_path: Path) -> None:
        cli("analyze", folder, "--sample", 2, "--seed", 3, "--out", out)
        cli("analyze", "--from", beside(out), "--out", tmp_path / "again")
        assert names(tmp_path / "again") == names(out)

    def test_other_flags_and_other_files_are_refused(self, cli: Cli, folder: Path, out: Path, tmp_path: Path) -> None:
        cli("analyze", folder, "--out", out)
        code, said = cli("analyze", "--from", beside(out), "--question", "Who?")
        assert (code, "--question" in said) == (2, True)
        code, said = cli("analyze", "--from", out)
        assert (code, "is no record of a run" in said) == (2, True)
        assert cli("analyze", "--from", tmp_path / "none.run.json")[0] == 2


class TestRecord:
    def test_it_says_what_was_asked_of_what_and_holds_no_text_of_a_document(
        self, cli: Cli, folder: Path, out: Path
    ) -> None:
        """Files by name and digest, who answered, when, and what it took."""
        cli("analyze", folder, "--labels", "paper,letter", "--out", out)
        told = json.loads(beside(out).read_text())
        assert told["setup"]["model"] == MODEL
        assert told["engine"]["engine"] == "stand-in"
        assert {file["name"] for file in told["parts"][0]["files"]} == {f"{n}.txt" for n in range(6)}
        assert told["parts"][0]["finished_ms"] >= told["parts"][0]["created_ms"]
        assert "Paper number" not in beside(out).read_text()
        assert "6 documents" in told["methods"]
        assert told["setup"]["words"]
        assert told["setup"]["reader"]

    def test_an_earlier_record_is_not_overwritten(self, cli: Cli, folder: Path, out: Path) -> None:
        """Rows that were not written yet would be lost with it."""
        beside(out).write_text("{}")
        code, said = cli("analyze", folder, "--out", out)
        assert (code, "--resume" in said) == (2, True)

    def test_the_paragraph_names_model_cards_sampling_failures_and_energy(self) -> None:
        part = Part(
            id="an_1",
            files=(SentFile(name="a", sha256="0"),) * 3,
            created_ms=1_790_000_000_000,
            finished_ms=1_790_090_000_000,
            energy_j=7_200_000.0,
            energy_simulated=True,
        )
        record = RunRecord(
            version="0.1.0",
            output="rows.jsonl",
            paths=("/papers",),
            task=AnalysisTask.CLASSIFY,
            options=TaskOptions(),
            setup=Setup(task=AnalysisTask.CLASSIFY, model="m", sampling={"temperature": 0.0}),
            engine=Engine(engine="vLLM", cards={"Radeon VII": 4}, context_tokens=8192),
            parts=(part,),
            tally=Tally(
                documents=3,
                answered=2,
                failures={"encrypted": 1},
                pages=9,
                parts=4,
                cut=1,
                calls=5,
                usage=Usage(prompt_tokens=5000, output_tokens=70),
                usage_of_answers=Usage(prompt_tokens=4100, output_tokens=50),
            ),
        )
        said = methods(record)
        for words in (
            "Of 3 documents 2 (9 pages) were classified with VIIWork 0.1.0 from 2026-09-21 to 2026-09-22.",
            "1 document with an answer did not fit into one call of a context of 8,192 tokens and was cut into",
            "5,000 tokens were read and 70 written in 5 calls, those included that came to nothing or were made again",
            "the answers took 4,100 and 50 of them",
            "The model was m, served by vLLM on 4 Radeon VII.",
            "temperature 0.",
            "8,192 tokens",
            "1 document had no answer (1 encrypted).",
            "the simulated cards used 2 kWh.",
        ):
            assert words in said

    def test_the_paragraph_says_of_a_preview_what_it_did_and_of_uncut_documents_that_they_fitted(self) -> None:
        """It draws no tokens and is told nothing of data; and nobody reads of parts where there were none."""
        preview = Engine(engine="extractive preview", notice="Preview: picked sentences.", context_tokens=4096)
        usage = Usage(prompt_tokens=522, output_tokens=90)
        record = RunRecord(
            output="rows.jsonl",
            paths=("/papers",),
            task=AnalysisTask.SUMMARIZE,
            options=TaskOptions(),
            setup=Setup(task=AnalysisTask.SUMMARIZE, model="m", sampling={"temperature": 0.0}, words="ab" * 32),
            engine=preview,
            tally=Tally(documents=11, answered=11, parts=11, calls=11, usage=usage, usage_of_answers=usage),
        )
        said = methods(record)
        assert "Each document fitted into one call of a context of 4,096 tokens." in said
        assert "522 tokens were read and 90 written in 11 calls." in said
        assert not any(words in said for words in ("temperature", "marked as data", "digest", "11 in all", "cut into"))
        asked = methods(record.model_copy(update={"engine": Engine(engine="vLLM")}))
        assert "Tokens were chosen at temperature 0. Document text was marked as data (digest of" in asked
        none = methods(record.model_copy(update={"tally": Tally(documents=3, failures={"incomplete": 3})}))
        assert none.startswith("None of 3 documents could be summarised with VIIWork.")
        assert "fitted" not in none

    def test_what_failed_was_paid_for_too_and_is_in_the_record(self, cli: Cli, folder: Path, out: Path) -> None:
        """As the service counts it: whoever adds the answers up is told that they are not all."""
        (folder / "unfit.txt").write_text("No such field.")
        assert cli("analyze", folder, "--out", out)[0] == 1
        told = read_record(beside(out))
        (part,) = told.parts
        assert (part.calls, part.usage) == (7, Usage(prompt_tokens=70, output_tokens=21))
        assert (told.tally.calls, told.tally.usage, told.tally.partial) == (7, part.usage, False)
        assert told.tally.usage_of_answers == Usage(prompt_tokens=60, output_tokens=18)
        (failed,) = (row for row in rows(out) if row["state"] == "failed")
        assert (failed["usage"], failed["calls"]) == ({"prompt_tokens": 10, "output_tokens": 3}, 1)
        assert failed["made"]["model"] == MODEL
        assert failed["made"]["engine"] == "stand-in"

    def test_a_record_is_replaced_in_one_step_and_a_bad_one_is_named(self, tmp_path: Path) -> None:
        path = tmp_path / "x.run.json"
        path.write_text('{"viiwork_run": 2}')
        with pytest.raises(UsageError, match=r"x\.run\.json"):
            read_record(path)
