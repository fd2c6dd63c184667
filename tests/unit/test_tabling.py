"""Rows as tables and as a report: what is nested, what is hostile, what is too much."""

from __future__ import annotations

import csv
import io
import sys
from pathlib import Path
from typing import Any

import pytest

from viiwork.errors import UsageError
from viiwork.jobs import BatchState, BatchStatus, Counts, Lane
from viiwork.tabling import parquet, sheet, story
from viiwork.tabling.flat import MOST_FIELDS, columns_of
from viiwork.tabling.formats import Format, format_of
from viiwork.work import Usage

STATUS = BatchStatus(
    id="an_1",
    state=BatchState.RUNNING,
    tenant="anna@lab",
    lane=Lane.BATCH,
    model="small",
    task="extract",
    counts=Counts(total=3, succeeded=1, failed=1),
    created_ms=1,
    usage=Usage(prompt_tokens=1200, output_tokens=30),
)
FAILED = {
    "analysis": "an_1",
    "index": 1,
    "document": "b",
    "state": "failed",
    "error": {"code": "empty", "message": "No text."},
}


def row(value: Any = None, *, text: str = "", **more: Any) -> dict[str, Any]:
    """A row with an answer."""
    answer: dict[str, Any] = {"text": text, "pages": 2, "usage": {"prompt_tokens": 7}} | more.pop("answer", {})
    answer |= {"value": value} if value is not None else {}
    return {"analysis": "an_1", "index": 0, "document": "a", "state": "succeeded", "answer": answer, **more}


def read(*rows: dict[str, Any]) -> list[dict[str, str]]:
    """The rows as somebody reads them out of the CSV again."""
    columns = columns_of(rows)
    text = sheet.header(columns) + "".join(sheet.row_line(columns, one) for one in rows)
    return list(csv.DictReader(io.StringIO(text.removeprefix(sheet.MARK), newline="")))


def test_each_field_of_a_value_is_a_column_and_a_list_is_a_cell() -> None:
    """What another row does not have is empty there; a dot in a field's name cannot be mistaken for a level."""
    value = {"seller": {"city": "Köln", "zip": None}, "lines": [{"sum": 1}], "paid": True, "a.b": 1.5}
    first, second = read(row(value, text="{}", metadata={"year": "2019"}), FAILED)
    assert (first["value.seller.city"], first["value.seller.zip"], first["value.a\\.b"]) == ("Köln", "", "1.5")
    assert (first["value.lines"], first["value.paid"], first["text"]) == ('[{"sum": 1}]', "true", "")
    assert (first["metadata.year"], first["pages"], first["prompt_tokens"]) == ("2019", "2", "7")
    assert (second["value.paid"], second["error_code"], second["metadata.year"]) == ("", "empty", "")


def test_values_of_different_shapes_share_a_table() -> None:
    """A field that is an object here and a word there has a column for each."""
    first, second = read(row({"a": {"b": 1}}), row({"a": "word"}))
    assert (first["value.a.b"], first["value.a"], second["value.a"]) == ("1", "", "word")


SELLER = {"type": "object", "properties": {"city": {"type": "string"}, "part": {"$ref": "#"}}}
NESTED = {
    "type": "object",
    "properties": {
        "total": {"type": "number"},
        "a.b": {"type": ["string", "null"]},
        "seller": {"anyOf": [{"$ref": "#/$defs/seller"}, {"type": "null"}]},
        "lines": {"type": "array", "items": {"$ref": "#/$defs/seller"}},
        "lost": {"$ref": "#/$defs/none"},
    },
    "$defs": {"seller": SELLER},
}
ASKED = ["value.total", "value.a\\.b", "value.seller.city", "value.lines"]


def test_a_table_in_which_all_failed_has_the_columns_that_its_schema_asks_for() -> None:
    """What found nothing looked like what had never been asked."""
    columns = columns_of([FAILED], NESTED)
    assert [name for name in columns.names if name.startswith("value")] == ASKED
    assert len(columns.cells(FAILED)) == len(columns.names)


def test_the_columns_of_a_schema_and_of_rows_are_one_set_in_the_schemas_order() -> None:
    columns = columns_of([row({"lines": [], "total": 1, "more": 2})], NESTED)
    assert [name for name in columns.names if name.startswith("value")] == [*ASKED, "value.more"]


def test_a_schema_of_too_many_fields_asks_for_no_columns() -> None:
    wide = {"type": "object", "properties": {f"k{n}": {"type": "string"} for n in range(MOST_FIELDS + 1)}}
    assert "value.k0" not in columns_of([FAILED], wide).names
    assert "value" not in columns_of([FAILED], {"type": "object"}).names


def test_what_was_found_stands_right_after_which_document_it_is_of() -> None:
    """It stood behind eight columns that are mostly empty."""
    names = columns_of([row({"total": 1})]).names
    assert names[:5] == ("document", "custom_id", "state", "value.total", "label")
    assert len(set(names)) == len(names)
    assert {"analysis", "index"} < set(names)


def test_a_report_writes_yes_no_and_nothing_as_the_other_forms_do() -> None:
    found = story.section(row({"paid": True, "due": False, "lines": [], "more": ["[x](y)"]}))
    assert "| paid | true |\n| due | false |\n| lines | [] |\n" in found
    assert '| more | \\["\\[x\\](y)"\\] |' in found


@pytest.mark.parametrize("kind", ["value", "metadata"])
def test_too_many_fields_are_one_cell(kind: str) -> None:
    """Else 50,000 documents with fields of their own would make a table that nobody opens."""
    many = [{f"k{n}-{m}": "x" for m in range(16)} for n in range(MOST_FIELDS // 16 + 2)]
    rows = [row(one) if kind == "value" else row(metadata=one) for one in many]
    found = read(*rows)
    assert len(found[0]) < 60
    assert found[0][kind].startswith('{"k0-0": "x"')
    assert found[-1][kind]


@pytest.mark.parametrize(
    "text", ["=1+1", "+cmd|' /C calc'!A0", "-2+3", "@SUM(A1)", "  =1", "\t=1", "\r=1", "\x00=1", "=\n1"]
)
def test_no_cell_is_a_formula_and_the_row_says_which_would_have_been(text: str) -> None:
    (found,) = read(row(text=text, metadata={"=k": "fine"}))
    assert found["text"].startswith("'")
    assert found["disarmed"] == "text"
    assert not any(cell.lstrip().startswith(("=", "+", "-", "@")) for cell in (*found.values(), *found))


@pytest.mark.parametrize("text", ["-5.20", "+49", "-1,000.5", "-3%", "a=b", "1-2", ""])
def test_numbers_and_plain_words_are_left_as_they_are(text: str) -> None:
    (found,) = read(row(text=text))
    assert (found["text"], found["disarmed"]) == (text, "")


def test_line_breaks_quotes_and_separators_come_back() -> None:
    (found,) = read(row(text='one, "two"; three\nfour'))
    assert found["text"] == 'one, "two"; three\nfour'


def test_quotes_have_their_pages_and_say_what_is_not_in_the_document() -> None:
    evidence = [{"quote": "within  30 days", "page": 3, "field": "/terms"}, {"quote": "x", "unsupported": True}]
    (found,) = read(row(text="t", answer={"evidence": evidence}))
    assert found["quotes"] == "“within 30 days” (/terms, p. 3)\n“x” (not in the document)"


def test_a_report_shows_what_is_hostile_as_text() -> None:
    """No HTML, image, link or heading comes out of a document, its name or an answer."""
    bad = "<script>x</script> ![i](http://evil.example/?d) [l](u) *b* www.evil.example a@b.c\n# Heading\n===\n| a |"
    told = story.section(row(text=bad, answer={"label": "<b>"}) | {"document": "x\n# <i>"})
    assert "\\<script\\>" in told
    assert "!\\[i\\](http\\://" in told
    assert "www\\.evil" in told
    assert "a\\@b" in told
    assert "\n> \\# Heading\n> \\===\n> \\| a \\|" in told
    assert told.startswith("## x # \\<i\\>\n")


def test_a_report_has_totals_answers_citations_and_reasons() -> None:
    """And says that an analysis is not finished."""
    head = story.heading(STATUS)
    assert "3: 1 with an answer, 1 failed, 0 cancelled" in head
    assert "1,200 read, 30 written" in head
    assert "not finished" in head
    found = story.section(
        row({"total": 12, "seller": {"name": "A|B"}}, answer={"evidence": [{"quote": "12", "page": 1}]})
    )
    assert "| total | 12 |\n| seller.name | A\\|B |" in found
    assert "Citations:\n\n- “12” (p. 1)" in found
    assert "No answer (empty): No text." in story.section(FAILED)


def test_a_files_name_says_the_format_unless_it_is_named() -> None:
    assert format_of("", Path("a.CSV")) is Format.CSV
    assert format_of("", Path("a.md")) is Format.MARKDOWN
    assert format_of("", Path("a.jsonl")) is format_of("", Path("a")) is format_of("", None) is Format.JSONL
    assert format_of("jsonl", Path("a.txt")) is Format.JSONL
    assert format_of("parquet", Path("a.csv")) is Format.PARQUET
    with pytest.raises(UsageError, match="--format xml: there is no such format"):
        format_of("xml", None)


@pytest.mark.parametrize("name", ["rows.xlsx", "rows.json", "rows.tsv", "rows.csv.gz"])
def test_a_name_that_ends_like_something_else_is_refused_with_the_endings_that_there_are(name: str) -> None:
    """JSON Lines were written under it, which no spreadsheet opens and no JSON parser reads."""
    with pytest.raises(UsageError, match=r"Write \.csv, \.md, \.jsonl or \.parquet"):
        format_of("", Path(name))


def test_columns_of_parquet_have_the_kind_that_holds_all_their_cells() -> None:
    rows = [row({"a": 1, "b": 1, "c": True, "d": 2**70}), row({"a": 2.5, "b": "x", "c": False, "d": 1})]
    kinds = parquet.Kinds(columns_of(rows))
    for one in rows:
        kinds.see(one)
    assert [kinds[f"value.{name}"] for name in "abcd"] == [float, str, bool, str]
    assert parquet.as_kind(1, float) == 1.0
    assert parquet.as_kind(True, str) == "True"


def test_parquet_comes_back_with_kinds_and_without_apostrophes(tmp_path: Path) -> None:
    reader = pytest.importorskip("pyarrow.parquet", reason="the extra `parquet` is not installed")
    rows = [row({"sum": 1.5, "who": "=1+1"}), FAILED]
    columns = columns_of(rows)
    kinds = parquet.Kinds(columns)
    for one in rows:
        kinds.see(one)
    assert parquet.write(tmp_path / "x.parquet", rows, columns, kinds) == 2
    found = reader.read_table(tmp_path / "x.parquet").to_pylist()
    assert (found[0]["value.sum"], found[0]["value.who"], found[1]["value.sum"]) == (1.5, "=1+1", None)


def test_without_pyarrow_parquet_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    with pytest.raises(UsageError, match=r"pip install 'viiwork\[parquet\]'"):
        parquet.arrow()
