"""The extractive preview: an engine that picks sentences, so that a machine without a GPU gives real answers."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor

from viiwork.abilities import Ability
from viiwork.errors import EngineFault, JobRefused
from viiwork.work import AnalysisTask, Answer, EngineWork, Evidence, StepInput, Usage
from viiwork_workers.engines.base import PLAIN, EngineFacts, Manner, Signals, heard, own_version
from viiwork_workers.engines.extractive.embeddings import Embedder, load_embedder
from viiwork_workers.engines.extractive.labelling import classify
from viiwork_workers.engines.extractive.quoting import FLOOR, NO_ANSWER, answer
from viiwork_workers.engines.extractive.summary import summarize
from viiwork_workers.engines.intake import refuse_incomplete, step_of, texts_of

NAME = "extractive preview"
NOTICE = "Preview: sentences picked from the document, not written by a language model."
CANNOT = frozenset(
    {
        *(Ability.CHAT, Ability.COMPLETION, Ability.EMBEDDING, Ability.PROMPT, Ability.EXTRACT, Ability.WISHES),
        *(Ability.MULTI, Ability.RATIONALE),  # its shares sum to 1: they tell the likeliest label, not which ones hold
    }
)
LARGEST_CHARACTERS = 400_000
"""Takes a second or two; a passage that the reader cut is a twentieth of it."""


class ExtractiveEngine:
    """Answers summarize, classify and ask on a thread a slot; refuses what needs a language model."""

    def __init__(self, *, model: str, slots: int, context_tokens: int = 4096) -> None:
        self.facts = EngineFacts(
            name=NAME,
            model=model,
            slots=slots,
            context_tokens=context_tokens,
            tokenizer="wordllama",
            notice=NOTICE,
            cannot=CANNOT,
            version=own_version(),
        )
        self._threads = ThreadPoolExecutor(max_workers=slots, thread_name_prefix="extractive")
        self._embedder: Embedder | None = None

    async def load(self) -> None:
        """Read the word vectors, 20 MB, from the installed package."""
        self._embedder = await asyncio.get_running_loop().run_in_executor(self._threads, load_embedder)

    async def run(self, work: EngineWork, manner: Manner = PLAIN) -> Answer:
        """Answer on a thread. A cancelled job's thread goes on for the milliseconds that its passage takes."""
        asked = accepted(work, self.facts)
        if self._embedder is None:
            raise EngineFault("the extractive preview is not loaded.", hint="Wait for the worker to be ready.")
        loop = asyncio.get_running_loop()
        return heard(await loop.run_in_executor(self._threads, self._answer, asked, self._embedder), manner)

    def signals(self) -> Signals | None:
        """None: its slots say all there is to say."""
        return None

    async def until_ready(self) -> None:
        """It is never started again."""

    def again(self) -> None:
        """It is never given up."""

    async def close(self) -> None:
        """Let the threads finish what they have, and the word vectors go."""
        self._embedder = None
        await asyncio.to_thread(self._threads.shutdown)

    def _answer(self, step: StepInput, embedder: Embedder) -> Answer:
        said = ANSWERS[step.task](step, embedder)
        taken = sum(embedder.count(text) for text in texts_of(step))
        usage = Usage(prompt_tokens=taken, output_tokens=embedder.count(said.text))
        return said.model_copy(update={"engine": NAME, "model": self.facts.model, "notice": NOTICE, "usage": usage})


def accepted(work: EngineWork, facts: EngineFacts) -> StepInput:
    """The work, when it is something that picking sentences can answer. Raises JobRefused."""
    asked = step_of(work, facts)
    if len(asked.text) > LARGEST_CHARACTERS:
        raise JobRefused(
            f"the passage has {len(asked.text):,} characters; the extractive preview takes {LARGEST_CHARACTERS:,}.",
            hint="Cut it to smaller parts; `viiwork analyze` does.",
            code="context_length",
        )
    refuse_incomplete(asked)
    return asked


def summarized(step: StepInput, embedder: Embedder) -> Answer:
    """Sentences of the passage; of the partial summaries when the stage is `reduce`."""
    chosen = summarize(step.text, title=step.title, embedder=embedder, max_tokens=step.options.max_output_tokens)
    evidence = tuple(Evidence(quote=step.text[piece.start : piece.end]) for piece in chosen)
    return Answer(text=" ".join(piece.text for piece in chosen), evidence=evidence)


def classified(step: StepInput, embedder: Embedder) -> Answer:
    """The likeliest label, with every label's share."""
    found = classify(step.text, title=step.title, labels=step.options.labels, embedder=embedder)
    return Answer(
        text=found.label,
        label=found.label,
        confidence=found.scores[found.label],
        scores=found.scores,
        evidence=(Evidence(quote=found.quote),) if found.quote else (),
    )


def asked(step: StepInput, embedder: Embedder) -> Answer:
    """The best sentence, or that there is none worth showing."""
    found = answer(step.text, question=step.options.question, embedder=embedder)
    confidence = round(found.confidence, 3)
    if confidence < FLOOR or not found.pieces:
        return Answer(text=NO_ANSWER, confidence=confidence)
    evidence = tuple(Evidence(quote=step.text[piece.start : piece.end]) for piece in found.pieces)
    return Answer(text=" ".join(piece.text for piece in found.pieces), confidence=confidence, evidence=evidence)


ANSWERS = {
    AnalysisTask.SUMMARIZE: summarized,
    AnalysisTask.CLASSIFY: classified,
    AnalysisTask.ASK: asked,
}
