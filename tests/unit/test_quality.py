"""The gates of `make quality`, at a small size and without a download: each can fail, and says by how much."""

from __future__ import annotations

import io
import json
import random
import tarfile
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from bench.answering import MODEL, answering
from bench.quality import clerk, extraction, faq, fill, manuals, quotation, recall
from bench.quality.__main__ import MEASURES, main, short_of
from bench.quality.desk import Desk
from bench.quality.packages import PACKAGES, Library, unpack
from bench.quality.papers import SCHEMAS, papers
from bench.quality.samplework import good_samples
from bench.quality.server import section
from bench.report import Goal, Report
from viiwork.documents import inline_document
from viiwork.documents.chunk import chunk
from viiwork.documents.taskcheck import check_options
from viiwork.documents.tokens import WORDLLAMA, load_counter
from viiwork.errors import DocumentError, Unavailable
from viiwork.jobs import Row, State
from viiwork.work import AnalysisTask, Answer, Evidence, TaskOptions


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    """Without a document of Debian's."""
    return Desk(Library(tmp_path), Console(file=io.StringIO()))


@pytest.fixture
def alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """The command leaves the signals and variables of this process as they are."""
    monkeypatch.setattr("bench.quality.__main__.stop_in_order", lambda: None)
    monkeypatch.setattr("bench.quality.__main__.forget_settings", lambda: None)


def deb(**files: bytes) -> bytes:
    """A Debian package with these files in it, and a link that leads out of it."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:xz") as archive:
        for name, data in files.items():
            member = tarfile.TarInfo(name.replace("__", "/"))
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
        link = tarfile.TarInfo("usr/link")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(link)
    made = b"!<arch>\n"
    for name, data in (("debian-binary", b"2.0\n"), ("control.tar.xz", b"odd"), ("data.tar.xz", packed.getvalue())):
        made += (
            f"{name:<16}{0:<12}{0:<6}{0:<6}{100644:<8}{len(data):<10}".encode()
            + b"`\n"
            + data
            + b"\n" * (len(data) % 2)
        )
    return made


class TestGates:
    def test_quotes_with_mistakes_are_found_in_the_samples_and_made_up_ones_are_not(self, desk: Desk) -> None:
        """The gate itself, with a quarter of its quotes."""
        count = load_counter(WORDLLAMA)
        parts = [part for document in good_samples() for part in chunk(document, limit_tokens=1024, count=count)]
        report = Report("quotes", quotation.figures(desk, parts, quotes=100), quotation.GOALS)
        assert short_of(report) == []
        assert report.figures["invented"] == 50

    def test_no_part_of_a_sample_is_over_its_limit(self, desk: Desk) -> None:
        """The gate itself, on our own documents."""
        report = Report("chunks", fill.figures(desk, list(good_samples())), fill.GOALS)
        assert short_of(report) == []
        assert report.figures["parts"] > 100

    def test_a_gate_that_does_not_hold_is_named_with_what_it_misses_by(self) -> None:
        """One that holds is not."""
        goals = (Goal("found", at_least=0.9), Goal("over", at_most=0), Goal("right", at_least=0.5))
        report = Report("some", {"found": 0.85, "over": 2, "right": 0.5}, goals)
        assert short_of(report) == [
            "some: found is 0.85, and >= 0.9 is wanted: it misses by 0.05.",
            "some: over is 2, and <= 0 is wanted: it misses by 2.",
        ]

    def test_every_measure_has_a_name_on_the_page(self) -> None:
        """`docs/quality.md` tells of each."""
        page = (Path(__file__).resolve().parents[2] / "docs" / "quality.md").read_text("utf-8")
        assert [name for name in MEASURES if f"`{name}`" not in page] == []


class TestPackages:
    def test_a_package_is_unpacked_without_its_links_and_with_gzipped_files_expanded(self, tmp_path: Path) -> None:
        """By hand: no program of Debian's is needed."""
        import gzip

        unpack(deb(usr__doc__a=b"plain", **{"usr__b.txt.gz": gzip.compress(b"packed")}), tmp_path)
        assert sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()) == [
            "usr/b.txt",
            "usr/doc/a",
        ]
        assert (tmp_path / "usr/b.txt").read_bytes() == b"packed"

    @pytest.mark.parametrize("data", [b"", b"!<arch>\n", b"nonsense", deb(**{"..__out": b"x"}), deb(a=b"x")[:200]])
    def test_what_is_no_package_or_leads_out_is_refused(self, tmp_path: Path, data: bytes) -> None:
        """Nothing is written beside the folder."""
        place = tmp_path / "in"
        with pytest.raises(DocumentError, match="cannot be unpacked"):
            unpack(data, place)
        assert [path for path in tmp_path.iterdir() if path != place] == []

    def test_without_a_network_it_says_what_to_fetch_and_where_to_put_it(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A file in the cache that is not the package, by its digest, is not taken for it."""
        monkeypatch.setattr("bench.quality.packages.MIRRORS", ("http://127.0.0.1:9/pool/",))
        package = PACKAGES["debian-faq"]
        (tmp_path / package.file).write_bytes(deb(a=b"x"))
        with pytest.raises(Unavailable, match="not reachable") as refused:
            Library(tmp_path).unpacked("debian-faq")
        assert package.path in str(refused.value)
        assert str(tmp_path) in str(refused.value)

    @pytest.mark.usefixtures("alone")
    def test_the_command_ends_with_3_then(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """One line, no trace."""
        monkeypatch.setattr("bench.quality.packages.MIRRORS", ("http://127.0.0.1:9/pool/",))
        assert main(["--only", "pdf", "--cache", str(tmp_path)]) == 3
        told = capsys.readouterr()
        assert told.out == ""
        assert "cannot be fetched" in told.err
        assert "Traceback" not in told.err

    @pytest.mark.parametrize(
        "words",
        [["--only", "extract"], ["--model", "m"], ["--engine-url", "nowhere"], ["--engine-url", "http://a/b/c"]],
    )
    @pytest.mark.usefixtures("alone")
    def test_wrong_usage_ends_with_2(self, words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
        """The model's own measure takes a model, and a model takes an address."""
        assert main(words) == 2
        assert "--engine-url" in capsys.readouterr().err


class TestServer:
    def test_it_is_asked_for_its_model_and_context(self) -> None:
        """So that nobody needs to say them; what is said goes first."""
        with answering() as url:
            engine = section(f"{url}/v1", model=None, key_file=None, context_tokens=None, canary=True)
            assert (engine.kind, engine.url, engine.model, engine.context_tokens) == ("url", url, MODEL, 8192)
            engine = section(url, model="other", key_file=None, context_tokens=4096, canary=True)
            assert (engine.model, engine.context_tokens) == ("other", 4096)

    @pytest.mark.usefixtures("alone")
    def test_one_that_does_not_answer_ends_the_command_with_3_before_anything_is_measured(
        self, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """In one line."""
        assert main(["--engine-url", "http://127.0.0.1:9/v1"]) == 3
        assert capsys.readouterr().err.count("\n") == 1


class TestPapers:
    def test_the_same_seed_makes_the_same_papers_and_each_fills_its_schema(self) -> None:
        """Half of them invoices; some are long."""
        made = papers(12, seed=3)
        assert made == papers(12, seed=3)
        assert Counter(paper.kind for paper in made) == {"invoice": 6, "letter": 6}
        assert sum(len(paper.text) > 4_000 for paper in made) >= 2
        assert all(set(paper.fields) == set(SCHEMAS[paper.kind]["properties"]) for paper in made)

    def test_the_schemas_can_be_extracted_to(self) -> None:
        """As the service checks them at submit."""
        for schema in SCHEMAS.values():
            check_options(AnalysisTask.EXTRACT, TaskOptions(json_schema=dict(schema)))

    def test_the_clerk_reads_all_fields_of_a_short_paper(self) -> None:
        """By rules: what it gets wrong, it gets wrong on purpose, and with a quote that is nowhere."""
        for paper in papers(8, seed=5):
            told = clerk.answer(paper.text, fields=frozenset(paper.fields))
            read = {name: _value(said) for name, said in told.items()}
            for name, truth in paper.fields.items():
                assert read[name] == truth or (truth is None and "not to be found" in told[name]["quote"])


def _value(said: Any) -> Any:
    return [one["value"] for one in said] if isinstance(said, list) else said and said["value"]


class TestScores:
    def row(self, value: dict[str, Any] | None, *unsupported: str) -> Row:
        evidence = tuple(Evidence(quote="q", field=field, unsupported=True) for field in unsupported)
        answer = None if value is None else Answer(text="", value=value, evidence=evidence)
        state = State.FAILED if answer is None else State.SUCCEEDED
        return Row(index=0, custom_id="", document="d", state=state, answer=answer)

    def test_f1_counts_exact_values_and_items_and_leaves_out_what_is_unsupported(self) -> None:
        """Two of three values told are right, and two of four wanted."""
        (paper,) = papers(1, seed=1)
        truth = {"number": "R-1", "lines": [{"position": 1}, {"position": 2}], "due": "2020-01-01", "order": None}
        paper = type(paper)("invoice", "i", "", truth)
        said = {"number": "R-1", "lines": [{"position": 1}, {"position": 9}], "due": "1999-01-01", "order": None}
        told = extraction.figures([paper], [self.row(said, "/due")])
        assert told["precision"] == pytest.approx(2 / 3)
        assert told["recall"] == pytest.approx(2 / 4)
        assert told["f1"] == pytest.approx(4 / 7)
        assert told["f1_with_unsupported"] == pytest.approx(4 / 8)

    def test_a_paper_without_an_answer_counts_as_missed(self) -> None:
        """Failures do not make a score better."""
        made = papers(2, seed=1)
        told = extraction.figures(made, [self.row(dict(made[0].fields)), self.row(None)])
        assert told["precision"] == 1
        assert 0 < float(told["recall"]) < 1
        assert told["failed"] == 1

    def test_recall_counts_each_run_of_words_as_often_as_it_was_read(self) -> None:
        """Reading a line twice does not make up for another one."""
        wanted = recall.words("One two three. Four five six, one two three!")
        assert recall.recall(wanted, wanted, run=5) == 1
        assert recall.recall(wanted, recall.words("one two three four five"), run=5) == pytest.approx(1 / 5)
        assert recall.recall(wanted, wanted[:3], run=1) == pytest.approx(3 / 9)

    def test_a_figure_of_a_pdf_whose_words_are_glued_is_low(self) -> None:
        """The gate sees what a worse reader does."""
        text = "the quick brown fox jumps over the lazy dog " * 50
        glued = inline_document(text.replace("fox jumps", "foxjumps"))
        assert float(recall.figures(glued, text)["recall_of_5_grams"]) < 0.5

    def test_a_hit_is_a_place_inside_the_right_section(self) -> None:
        """The first of three, or any of them."""
        sections = [faq.Section("a?", 0, 10), faq.Section("b?", 10, 20), faq.Section("c?", 20, 30)]
        told = faq.hits(sections, [[3], [5, 25, 12], []])
        assert told == {"hit_at_1": pytest.approx(1 / 3), "hit_at_3": pytest.approx(2 / 3)}

    def test_noise_leaves_figures_alone(self) -> None:
        """A wrong figure rightly marks a quote."""
        text = "In 2026 the rent was 1,250.50 euros. " * 40
        assert [one for one in quotation.noisy(text, random.Random(1)) if one.isdigit()] == list(
            filter(str.isdigit, text)
        )


class TestFaq:
    def test_sections_are_put_together_without_their_questions(self, tmp_path: Path) -> None:
        """Else a question would be found by its own words. Short sections refer elsewhere, and are left out."""
        body = "Debian is a distribution of free software that is put together by volunteers all over the world."
        page = "".join(
            f'<div class="section"><h2 class="title">{number}. {question}</h2><p>{text}</p></div>'
            for number, question, text in (
                ("1.1", "What is it?", body),
                ("1.2", "Where?", "See below."),
                ("1.3", "So", body),
            )
        )
        (tmp_path / "FAQ").mkdir()
        (tmp_path / "FAQ" / "a.en.html").write_text(page, "utf-8")
        text, sections = faq.faq(tmp_path)
        assert [section.question for section in sections] == ["What is it?"]
        assert text[sections[0].start : sections[0].end] == body


class TestManuals:
    SOURCE = r""".\" a comment
.TH OPEN 2
.SH NAME
open, creat \- open and possibly create a file
.SH DESCRIPTION
The
.BR open (2)
call opens \fIpathname\fP\[em]if it can.
.nf
.PP
It fails otherwise."""

    def test_a_page_is_read_without_its_name_line(self) -> None:
        """As a person would see it, near enough."""
        page = manuals.manual("open.2", self.SOURCE)
        assert page is not None
        assert page.about == "open and possibly create a file"
        assert page.body == "DESCRIPTION\n\nThe\nopen(2)\ncall opens pathname—if it can.\n\nIt fails otherwise."

    def test_a_page_without_such_a_line_is_none(self) -> None:
        """Nothing to hold its summary against."""
        assert manuals.manual("x.1", ".SH DESCRIPTION\nwords") is None


def test_the_papers_are_json() -> None:
    """What a model is asked for travels as that."""
    assert json.loads(json.dumps(SCHEMAS)) == SCHEMAS
