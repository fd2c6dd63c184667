"""What a reader of the extractive preview's answers may expect, on passages like those that people send."""

from __future__ import annotations

import pytest

from extractive_passages import (
    ABSTRACT,
    INVOICE,
    MANUAL,
    MINUTES,
    NEWS,
    POLICY,
    PROJECT_MAIL,
    REFUSAL_LETTER,
    RENTAL_TERMS,
    SUPPLY_CONTRACT,
    SURVEY_REPORT,
    TABLE_ONLY,
)
from viiwork.work import AnalysisTask, Answer, Label, StepInput, TaskOptions
from viiwork_workers.engines.extractive.embeddings import Embedder, load_embedder
from viiwork_workers.engines.extractive.engine import ANSWERS
from viiwork_workers.engines.extractive.quoting import FLOOR, NO_ANSWER

SUMMARIES = [
    ("contract", SUPPLY_CONTRACT, ["The Supplier shall deliver to the Buyer"], ["Page 1", "SUPPLY AGREEMENT"]),
    ("letter", REFUSAL_LETTER, ["Unfortunately we cannot pay for the new floor"], ["Dear", "Yours", "Quay Street"]),
    ("report", SURVEY_REPORT, ["640 employees", "Overall satisfaction rose"], ["|", "#", "Warehouse |"]),
    ("e-mail", PROJECT_MAIL, ["moves from 1 September to 14 September"], ["From:", "To:", "confidential", "Hi all"]),
    ("invoice", INVOICE, ["Payment is due by 12 July 2026."], ["Qty"]),
    ("minutes", MINUTES, ["the playground"], ["Present", "Apologies"]),
    ("news", NEWS, ["centre for start-ups"], []),
    ("manual", MANUAL, ["milk nozzle"], []),
    ("abstract", ABSTRACT, ["nap"], []),
    ("policy", POLICY, ["This policy applies to all employees"], []),
    ("list", RENTAL_TERMS, ["The boathouse may be hired from April to October"], ["- "]),
    ("table", TABLE_ONLY, ["Stock on 1 May 2026"], []),
]
QUESTIONS = [
    (SUPPLY_CONTRACT, "What is the price of each valve?", "$412.50"),
    (SUPPLY_CONTRACT, "How long is the warranty?", "24 months"),
    (SUPPLY_CONTRACT, "When are invoices due?", "within 30 days"),
    (SUPPLY_CONTRACT, "Who is the buyer?", "Lakeside Dairies Ltd."),
    (SUPPLY_CONTRACT, "How much notice is needed to terminate?", "ninety (90) days"),
    (REFUSAL_LETTER, "Why is the new floor not paid for?", "because water that enters"),
    (REFUSAL_LETTER, "How much is paid for the electrician?", "£318.40"),
    (REFUSAL_LETTER, "By what date must she write to the complaints department?", "7 August 2026"),
    (SURVEY_REPORT, "How many employees answered?", "512 of them"),
    (SURVEY_REPORT, "What does the report recommend?", "monthly letter"),
    (PROJECT_MAIL, "What does the payment provider need?", "payment provider"),
    (PROJECT_MAIL, "When will Tom test the checkout?", "20 August"),
    (INVOICE, "What is the total due?", "$653.40"),
    (INVOICE, "When is the payment due?", "12 July 2026"),
    (MINUTES, "When is the next meeting?", "14 July 2026"),
    (MINUTES, "How much may the new climbing frame cost?", "£7,500"),
    (NEWS, "Who is the mayor?", "Helen Whitcombe"),
    (NEWS, "How much will the work cost?", "£24 million"),
    (NEWS, "When do the first tenants move in?", "autumn of 2028"),
    (MANUAL, "How often must the machine be descaled?", "every three months"),
    (ABSTRACT, "How long was the nap?", "20 minutes"),
    (POLICY, "How much is paid for a hotel?", "140 euros"),
    (POLICY, "Within how many days must receipts be handed in?", "within 30 days"),
    (RENTAL_TERMS, "Are dogs allowed?", "Dogs are not allowed"),
    (RENTAL_TERMS, "How high is the deposit?", "EUR 300"),
]
UNANSWERABLE = [
    (SUPPLY_CONTRACT, "Which football club won the cup?"),
    (MANUAL, "Who is the president of Brazil?"),
    (POLICY, "What is the boiling point of nitrogen?"),
    (PROJECT_MAIL, "How do I renew my passport?"),
]
KINDS = tuple(
    Label(name=name, description=description)
    for name, description in (
        ("contract", "an agreement between two parties with their duties, term and termination"),
        ("letter", "a letter to a person"),
        ("report", "findings and recommendations"),
        ("e-mail", "a message to colleagues"),
        ("invoice", "a bill with the sum to pay"),
        ("minutes", "what a meeting decided"),
    )
)
CLASSES = [
    (SUPPLY_CONTRACT, "contract"),
    (REFUSAL_LETTER, "letter"),
    (SURVEY_REPORT, "report"),
    (PROJECT_MAIL, "e-mail"),
    (INVOICE, "invoice"),
    (MINUTES, "minutes"),
]
SUBJECTS = tuple(
    Label(name=name, description=description)
    for name, description in (
        ("health", "medicine, hospitals, nurses, patients, sleep"),
        ("gardening", "plants, hedges, flowers, gardens"),
        ("travel", "trips, hotels, flights, trains"),
        ("industry", "factories, valves, steel, machines"),
    )
)
TOPICS = [(ABSTRACT, "health"), (INVOICE, "gardening"), (POLICY, "travel"), (SUPPLY_CONTRACT, "industry")]


@pytest.fixture(scope="module")
def embedder() -> Embedder:
    return load_embedder()


def answered(embedder: Embedder, task: AnalysisTask, text: str, **options: object) -> Answer:
    work = StepInput(task=task, text=text, options=TaskOptions.model_validate(options))
    return ANSWERS[task](work, embedder)


@pytest.mark.parametrize(
    ("text", "told", "left_out"), [row[1:] for row in SUMMARIES], ids=[row[0] for row in SUMMARIES]
)
def test_a_summary_tells_what_matters_and_leaves_out_what_frames_it(
    embedder: Embedder, text: str, told: list[str], left_out: list[str]
) -> None:
    """One to five sentences, in the order of the document, each of them verbatim in it."""
    answer = answered(embedder, AnalysisTask.SUMMARIZE, text)
    assert all(piece in answer.text for piece in told), answer.text
    assert not any(piece in answer.text for piece in left_out), answer.text
    places = [text.index(piece.quote) for piece in answer.evidence]
    assert 1 <= len(places) <= 5
    assert places == sorted(places)


@pytest.mark.parametrize(("text", "question", "expected"), QUESTIONS, ids=[row[1] for row in QUESTIONS])
def test_a_question_is_answered_by_the_sentence_that_says_it(
    embedder: Embedder, text: str, question: str, expected: str
) -> None:
    """With a verbatim quote and a confidence above the floor."""
    answer = answered(embedder, AnalysisTask.ASK, text, question=question)
    assert expected in answer.text
    assert answer.confidence is not None
    assert FLOOR <= answer.confidence <= 1
    assert all(piece.quote in text for piece in answer.evidence)


@pytest.mark.parametrize(("text", "question"), UNANSWERABLE, ids=[row[1] for row in UNANSWERABLE])
def test_a_question_that_the_document_does_not_answer_gets_no_answer(
    embedder: Embedder, text: str, question: str
) -> None:
    """It says so, with low confidence and without a quote."""
    answer = answered(embedder, AnalysisTask.ASK, text, question=question)
    assert answer.text == NO_ANSWER
    assert answer.confidence is not None
    assert answer.confidence < FLOOR
    assert answer.evidence == ()


@pytest.mark.parametrize(("text", "kind"), CLASSES, ids=[row[1] for row in CLASSES])
def test_a_kind_of_document_is_known_by_its_form(embedder: Embedder, text: str, kind: str) -> None:
    """Greetings, clauses and sums due tell more than the words of the subject."""
    answer = answered(embedder, AnalysisTask.CLASSIFY, text, labels=KINDS)
    assert answer.label == kind, answer.scores
    assert all(piece.quote in text for piece in answer.evidence)


@pytest.mark.parametrize(("text", "topic"), TOPICS, ids=[row[1] for row in TOPICS])
def test_a_subject_is_known_by_its_words(embedder: Embedder, text: str, topic: str) -> None:
    """From the label's name and its one-line description, without training."""
    assert answered(embedder, AnalysisTask.CLASSIFY, text, labels=SUBJECTS).label == topic


def test_partial_summaries_are_summarized_again(embedder: Embedder) -> None:
    """The stage `reduce` gets them joined, and gives fewer sentences than they had."""
    parts = [answered(embedder, AnalysisTask.SUMMARIZE, text).text for _, text, _, _ in SUMMARIES[:4]]
    joined = StepInput(task=AnalysisTask.SUMMARIZE, stage="reduce", text="\n\n".join(parts))
    whole = ANSWERS[AnalysisTask.SUMMARIZE](joined, embedder)
    assert 2 <= len(whole.evidence) <= 5
    assert len(whole.text) < sum(map(len, parts)) / 2
