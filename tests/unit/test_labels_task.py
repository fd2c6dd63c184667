"""Labels with reasons, and several of them: what is asked for, what is read of it, and how a document's parts agree."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from commands import Cli
from scripted import Scripted
from service import Service
from standin import Listener
from test_abilities import served
from viiwork.client import Client
from viiwork.documents.labelling import NO_LABEL, asked_labels, taken_labels
from viiwork.documents.merge import combine
from viiwork.documents.provenance import UNSUPPORTED
from viiwork.documents.schemalint import check_extractable
from viiwork.documents.taskhash import task_hash
from viiwork.documents.tasks import FRAME_TOKENS, messages_for, passage_tokens, usual_tokens
from viiwork.documents.tokens import load_counter
from viiwork.errors import JobRefused
from viiwork.multipart import TextDocument
from viiwork.schema import SEVERAL as SEVERAL_ASKED
from viiwork.schema import schema_of
from viiwork.tabling.flat import columns_of
from viiwork.tabling.sheet import header, row_line
from viiwork.tabling.story import section
from viiwork.work import AnalysisTask, Answer, ChatInput, Evidence, Label, StepInput, TaskOptions
from viiwork_workers.engines.base import EngineFacts
from viiwork_workers.engines.extractive.engine import CANNOT as EXTRACTIVE
from viiwork_workers.engines.server.rendering import answer_of, rendered, repaired
from viiwork_workers.engines.server.replies import Reply
from viiwork_workers.engines.simulated.engine import CANNOT as SIMULATED
from viiwork_workers.engines.simulated.filler import Filler

CLASSIFY = AnalysisTask.CLASSIFY
LABELS = (Label(name="rent", description="of what a tenant pays"), Label(name="notice"), Label(name="pets: dogs"))
SEVERAL = TaskOptions(labels=LABELS, multi=True, rationale=True)
ONE = TaskOptions(labels=LABELS, rationale=True)
FACTS = EngineFacts(name="e", model="m", slots=1, context_tokens=4096, tokenizer="", notice="")
RENT, NOTICE = "The tenant pays 900 euros a month.", "Notice is three months."
FILLER = "The parties met again and talked about the weather of that year at length.\n\n"
LEASE = f"{FILLER * 30}{RENT}\n\n{FILLER * 30}{NOTICE}\n\n{FILLER * 30}"

IDLE = True


def step(options: TaskOptions, text: str = RENT) -> StepInput:
    return StepInput(task=CLASSIFY, options=options, text=text)


def entry(label: str, quote: str = RENT, rationale: str = "It says so.") -> dict[str, str]:
    return {"quote": quote, "rationale": rationale, "label": label}


def part(*labels: str, unsupported: tuple[str, ...] = (), **more: Any) -> Answer:
    """A part's answer, grounded."""
    evidence = tuple(
        Evidence(quote=f"some words of {name}", field=name, page=1, unsupported=name in unsupported) for name in labels
    )
    notes = (UNSUPPORTED,) if unsupported else ()
    return Answer(text="x", labels=labels, evidence=evidence, notes=notes, model="m", engine="e", **more)


class TestAsked:
    @pytest.mark.parametrize("quotes", [True, False])
    @pytest.mark.parametrize(("multi", "rationale"), [(True, False), (True, True), (False, True)])
    def test_what_leads_to_a_label_stands_before_it(self, multi: bool, rationale: bool, quotes: bool) -> None:
        """Engines write keys in the schema's order; nothing in it is passed over by them."""
        options = TaskOptions(labels=LABELS, multi=multi, rationale=rationale, quotes=quotes)
        shape = rendered(step(options)).shape  # type: ignore[union-attr]  # a chat
        assert shape is not None and shape.json_schema == asked_labels(options)
        one = shape.json_schema["properties"]["labels"]["items"] if multi else shape.json_schema
        wanted = [name for name, given in (("quote", quotes), ("rationale", rationale), ("label", True)) if given]
        assert list(one["properties"]) == one["required"] == wanted
        assert one["properties"]["label"]["enum"] == ["rent", "notice", "pets: dogs"]
        check_extractable(shape.json_schema)
        said = messages_for(step(options))[1].content
        assert "{" + ", ".join(f'"{name}": …' for name in wanted) + "}" in said
        assert [f"`{name}`" in said for name in ("quote", "rationale")] == [quotes, rationale]
        assert ("ALL labels" in said) is multi
        assert said.index("- rent: of what a tenant pays\n- notice\n") < said.index("<document>")

    def test_a_label_alone_is_asked_for_as_plain_text(self) -> None:
        chat = rendered(step(TaskOptions(labels=LABELS)))
        assert isinstance(chat, ChatInput) and chat.shape is None
        assert "exactly one label" in chat.messages[1].content

    @pytest.mark.parametrize("options", [SEVERAL, ONE])
    def test_its_words_are_within_what_is_kept_for_them(self, options: TaskOptions) -> None:
        count = load_counter("wordllama")
        bare = options.model_copy(update={"labels": ()})
        said = "\n".join(turn.content for turn in messages_for(step(bare, "")))
        assert count(said) + 40 <= FRAME_TOKENS
        assert passage_tokens(4096, options) < passage_tokens(4096, TaskOptions(labels=LABELS))

    async def test_an_answer_that_misses_its_form_is_asked_for_once_more(self) -> None:
        """What was wrong is said, and nothing of the answer; then it fails."""
        with pytest.raises(JobRefused) as missed:
            await answer_of(step(SEVERAL), Reply(text='{"labels": [{"label": "secret words"}]}'), FACTS)
        assert (missed.value.code, "secret" in missed.value.message) == ("invalid_output", False)
        again = repaired(step(SEVERAL), missed.value)
        first = rendered(step(SEVERAL))
        assert again is not None and isinstance(first, ChatInput)
        assert again.messages[1].content.startswith(first.messages[1].content)
        assert again.shape == first.shape
        assert repaired(step(TaskOptions(labels=LABELS)), missed.value) is None

    async def test_what_was_written_is_read(self) -> None:
        said = json.dumps({"labels": [entry("notice", " ", " "), entry("rent"), entry("rent", "900 euros", "Again.")]})
        answer = await answer_of(step(SEVERAL), Reply(text=said), FACTS)
        assert (answer.labels, answer.label, answer.text) == (("rent", "notice"), None, "rent, notice")
        assert answer.rationales == {"rent": "It says so."}
        assert [(piece.field, piece.quote) for piece in answer.evidence] == [("rent", RENT), ("rent", "900 euros")]
        assert (answer.scores, answer.value) == ({"rent": 1.0, "notice": 1.0, "pets: dogs": 0.0}, None)
        one = await answer_of(step(ONE), Reply(text=json.dumps(entry("notice"))), FACTS)
        assert (one.label, one.text, one.rationales) == ("notice", "notice", {"notice": "It says so."})
        assert [(piece.field, piece.quote) for piece in one.evidence] == [("", RENT)]

    def test_none_may_hold(self) -> None:
        answer = taken_labels(SEVERAL, {"labels": []})
        assert (answer.labels, answer.text, answer.evidence) == ((), NO_LABEL, ())

    def test_several_may_take_more_words(self) -> None:
        assert (usual_tokens(CLASSIFY), usual_tokens(CLASSIFY, multi=True)) == (256, 1024)


class TestTogether:
    def whole(self, *parts: Answer, options: TaskOptions = SEVERAL) -> Answer:
        answer = combine(CLASSIFY, options, parts)
        assert isinstance(answer, Answer)
        return answer

    def test_what_one_part_of_many_proves_holds(self) -> None:
        """A contract of 30 parts has its notice period in one."""
        some = part("rent", "notice", rationales={"rent": "r", "notice": "n"})
        whole = self.whole(*[part("rent", rationales={"rent": "first"})] * 2, some, *[part()] * 7)
        assert (whole.labels, whole.text) == (("rent", "notice"), "rent, notice")
        assert whole.rationales == {"rent": "first", "notice": "n"}
        assert whole.scores == {"rent": 0.3, "notice": 0.1, "pets: dogs": 0.0}
        assert [piece.field for piece in whole.evidence] == ["rent", "rent", "rent", "notice"]
        assert (whole.parts, whole.label) == (10, None)

    def test_what_a_single_part_of_many_has_without_proof_does_not(self) -> None:
        """Its share stays to be seen, and no note speaks of a quote that is not there."""
        whole = self.whole(part("pets: dogs", unsupported=("pets: dogs",)), *[part("rent")] * 2)
        assert whole.labels == ("rent",)
        assert whole.scores["pets: dogs"] == pytest.approx(1 / 3)
        assert (whole.notes, any(piece.unsupported for piece in whole.evidence)) == ((), False)

    @pytest.mark.parametrize(
        ("quote", "proves"),
        [
            ("a", False),
            ("the rent", False),
            ("- a - b -", False),
            ("no pets at all", True),
            ("a b c", True),
            ("禁止饲养宠物", True),
        ],
    )
    def test_a_word_or_two_prove_nothing(self, quote: str, proves: bool) -> None:
        """They stand in any document."""
        made = part("pets: dogs").model_copy(update={"evidence": (Evidence(quote=quote, field="pets: dogs"),)})
        assert ("pets: dogs" in self.whole(made, *[part("rent")] * 2).labels) is proves

    def test_half_of_the_parts_are_enough_without_proof_and_it_is_marked(self) -> None:
        whole = self.whole(part("notice", unsupported=("notice",)), part())
        assert (whole.labels, whole.notes) == (("notice",), (UNSUPPORTED,))
        assert [piece.unsupported for piece in whole.evidence] == [True]

    def test_a_document_of_one_part_keeps_what_it_has(self) -> None:
        whole = self.whole(part("notice", unsupported=("notice",)))
        assert (whole.labels, whole.text) == (("notice",), "notice")

    def test_the_reason_is_of_a_part_that_proves_it(self) -> None:
        bad = part("rent", unsupported=("rent",), rationales={"rent": "made up"})
        assert self.whole(bad, part("rent", rationales={"rent": "seen"})).rationales == {"rent": "seen"}

    def test_without_quotes_one_part_is_enough(self) -> None:
        bare = [Answer(text="rent", labels=("rent",)), *[Answer(text="-")] * 9]
        assert self.whole(*bare, options=SEVERAL.model_copy(update={"quotes": False})).labels == ("rent",)

    def test_of_one_label_with_reasons_the_majority_decides_and_gives_its_own(self) -> None:
        def one(name: str, why: str) -> Answer:
            return Answer(text=name, label=name, rationales={name: why}, evidence=(Evidence(quote=why),))

        whole = self.whole(one("notice", "n"), one("rent", "r1"), one("rent", "r2"), options=ONE)
        assert (whole.label, whole.rationales) == ("rent", {"rent": "r1"})
        assert [piece.quote for piece in whole.evidence] == ["r1", "r2"]


@pytest.fixture
def cli(cli: Cli, tmp_path: Path) -> Cli:
    """In a folder with the files that it is given."""
    (tmp_path / "a.txt").write_text(RENT)
    own = 'task = "classify"\nmulti = true\nrationale = true\n[labels]\nrent = "of what a tenant pays"\nnotice = ""\n'
    (tmp_path / "own.toml").write_text(own)
    return cli


def fair(asked: StepInput) -> Answer:
    """As a fair model answers, and one that makes a label up for each document's first part."""
    found = [entry(name, words) for name, words in (("rent", RENT), ("notice", NOTICE)) if words in asked.text]
    made_up = [entry("pets: dogs", "Dogs and cats are welcome in here.")] if not asked.part else []
    return taken_labels(asked.options, {"labels": [*found, *made_up]}).model_copy(update={"model": "m"})


def test_a_long_document_has_the_labels_that_its_parts_prove(service: Service) -> None:
    """With their places in it; what was made up in one part of many is not among them."""
    worker = Scripted(service.store, context_tokens=1400, script=fair)
    service.run(worker.join())
    with Client(service.url) as client:
        how: dict[str, Any] = {"multi": True, "rationale": True, "max_output_tokens": 200}
        started = client.analyze([TextDocument(LEASE)], task="classify", labels=LABELS, **how)
        service.run(worker.work())
        service.run(worker.steps.close())
        (row,) = [json.loads(line) for line in client.result_lines(started.id)]
    answer = row["answer"]
    assert answer["parts"] > 2
    assert answer["labels"] == ["rent", "notice"]
    assert 0 < answer["scores"]["pets: dogs"] < 0.5
    for quote, words in zip(answer["evidence"], (RENT, NOTICE), strict=True):
        assert LEASE[quote["start"] : quote["end"]] == words


@pytest.mark.parametrize(
    ("flags", "multi", "rationale", "tokens"),
    [
        (("--labels", "rent,notice", "--multi"), True, False, 1024),
        (("--labels", "rent,notice", "--rationale"), False, True, 256),
        (("--labels", "rent,notice", "--multi", "--rationale", "--max-tokens", "99"), True, True, 99),
        (("--task", "own.toml"), True, True, 1024),
    ],
)
def test_flags_and_tasks_of_ones_own_say_it(
    service: Service, cli: Cli, flags: tuple[str, ...], multi: bool, rationale: bool, tokens: int
) -> None:
    service.worker = worker = Listener(service.store)
    code, _, err = cli("analyze", "a.txt", "--no-wait", *flags)
    assert code == 0, err
    service.run(worker.work())
    (asked,) = worker.asked
    options = asked.options
    assert (options.multi, options.rationale, options.max_output_tokens) == (multi, rationale, tokens)


def test_forms_and_json_are_taken_alike(service: Service) -> None:
    service.worker = worker = Listener(service.store)
    url = f"{service.url}/v1/analyses"
    form = {"task": "classify", "labels": "rent,notice", "multi": "true", "rationale": "true"}
    fields: Any = {name: (None, said) for name, said in form.items()} | {"files": ("a.txt", RENT.encode())}
    assert httpx.post(url, files=fields).status_code == 202
    options = {"labels": ["rent", "notice"], "multi": True, "rationale": True}
    body = {"task": "classify", "options": options, "documents": [{"text": RENT}]}
    assert httpx.post(url, json=body).status_code == 202
    service.run(worker.work())
    one, other = (asked.options for asked in worker.asked)
    assert one == other == TaskOptions(labels=one.labels, multi=True, rationale=True, max_output_tokens=1024)
    wrong = httpx.post(url, json=body | {"options": options | {"multi": "yes"}}).json()["error"]
    assert wrong["param"] == "options.multi"
    asks = {"task": "ask", "options": {"question": "?", "multi": True}, "documents": [{"text": RENT}]}
    said = httpx.post(url, json=asks).json()["error"]
    assert (said["param"], "multi means nothing for ask" in said["message"]) == ("multi", True)


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"multi": True}, "cannot say which of several labels hold. Leave it out, and take each label's share"),
        ({"rationale": True}, "cannot say why a label holds. Leave it out, or serve a language model"),
    ],
)
async def test_an_engine_that_picks_sentences_refuses_them_at_submit(
    tmp_path: Path, asked: dict[str, Any], words: str
) -> None:
    """With what to do instead; one label it gives."""
    options = {"labels": ["rent", "notice"]}
    body = {"task": "classify", "documents": [{"text": RENT}]}
    async with served(tmp_path, EXTRACTIVE) as http:
        error = (await http.post("/v1/analyses", json=body | {"options": options | asked})).json()["error"]
        assert (error["code"], error["param"]) == ("unsupported_task", next(iter(asked)))
        assert words in f"{error['message']} {error.get('hint', '')}"
        assert (await http.post("/v1/analyses", json=body | {"options": options})).status_code == 202


def test_the_simulated_engine_makes_them_up_and_says_so() -> None:
    filler = Filler(load_counter("wordllama"))
    assert not {"multi", "rationale"} & {str(one) for one in SIMULATED}
    several = filler.answer(step(SEVERAL), limit=100)
    assert several.text.startswith("[simulated] ")
    assert set(several.labels) == set(several.rationales) <= {label.name for label in LABELS}
    one = filler.answer(step(ONE), limit=100)
    assert list(one.rationales) == [one.label]


def test_they_are_another_request_and_no_older_worker_takes_it() -> None:
    sets = [TaskOptions(labels=LABELS), ONE, SEVERAL, TaskOptions(labels=LABELS, multi=True)]
    assert len({task_hash(CLASSIFY, options) for options in sets}) == len(sets)
    assert [schema_of(step(options)) for options in sets] == [1, *[SEVERAL_ASKED] * 3]


class TestShown:
    def row(self, **answer: Any) -> dict[str, Any]:
        made = Answer(text="x", model="m", **answer).model_dump(mode="json")
        return {"analysis": "an_1", "index": 0, "document": "a.pdf", "answer": made}

    def test_each_of_several_labels_is_a_column_of_yes_and_no(self) -> None:
        scores = {"rent": 0.5, "=notice": 0.0}
        rows = [
            self.row(labels=("rent",), scores=scores, rationales={"rent": "It says so."}),
            self.row(labels=(), scores=scores),
        ]
        columns = columns_of(rows)
        text = header(columns) + "".join(row_line(columns, one) for one in rows)
        first, second = csv.DictReader(io.StringIO(text.removeprefix("\ufeff")))
        assert (first["label"], first["label.rent"], first["label.=notice"]) == ("rent", "true", "false")
        assert first["rationale"] == "rent: It says so."
        assert (second["label"], second["label.rent"]) == ("", "false")

    def test_one_label_has_its_reason_beside_it(self) -> None:
        one = self.row(label="rent", scores={"rent": 1.0}, rationales={"rent": "It *says* so."})
        columns = columns_of([one])
        text = header(columns) + row_line(columns, one)
        (cells,) = csv.DictReader(io.StringIO(text.removeprefix("\ufeff")))
        assert (cells["label"], cells["rationale"], "label.rent" in cells) == ("rent", "It *says* so.", False)
        assert r"**rent**: It \*says\* so." in section(one)

    def test_a_report_has_all_that_hold(self) -> None:
        said = section(self.row(labels=("rent", "<b>"), scores={"rent": 1.0}, rationales={"rent": "It says so."}))
        assert "**rent**: It says so." in said
        assert r"**\<b\>**" in said
