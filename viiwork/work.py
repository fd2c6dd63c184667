"""What is asked of an engine or a reader, and what is answered: the inside of a job."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import Field

from viiwork.wire import Wire


class Usage(Wire):
    """Tokens that one engine call took in and gave out."""

    prompt_tokens: int = 0
    output_tokens: int = 0

    def __add__(self, other: Usage) -> Usage:
        return Usage(
            prompt_tokens=self.prompt_tokens + other.prompt_tokens,
            output_tokens=self.output_tokens + other.output_tokens,
        )


class Message(Wire):
    """One turn of a chat."""

    role: Literal["system", "user", "assistant", "tool"]
    content: str
    name: str | None = None
    tool_calls: tuple[dict[str, Any], ...] | None = None
    """Of an assistant's turn, as the engine gave them."""
    tool_call_id: str | None = None
    """Of a tool's turn: which call it answers."""


class Sampling(Wire):
    """How the engine chooses tokens, besides the temperature. None leaves that to the engine."""

    top_p: float | None = None
    top_k: int | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    seed: int | None = None
    stop: tuple[str, ...] = ()
    logprobs: int | None = None
    """For each token its log probability, and those of so many alternatives (0 to 20)."""


class Shape(Wire):
    """What an answer must look like; exactly one of the four is set. The engine is held to it, and it is checked."""

    json_schema: dict[str, Any] | None = None
    json_object: bool = False
    """Any JSON object."""
    regex: str | None = None
    """The whole answer matches it."""
    choice: tuple[str, ...] = ()
    """The answer is one of these, letter for letter."""


class ChatInput(Wire):
    """A raw request for a language model."""

    kind: Literal["chat"] = "chat"
    messages: tuple[Message, ...]
    max_output_tokens: int = 512
    temperature: float = 0.0
    sampling: Sampling = Sampling()
    shape: Shape | None = None
    tools: tuple[dict[str, Any], ...] = ()
    """As the OpenAI API has them; passed through."""
    tool_choice: str | dict[str, Any] | None = None
    stream: bool = False
    """Somebody may listen while it is written."""


class CompletionInput(Wire):
    """Text to go on with, without a chat template."""

    kind: Literal["completion"] = "completion"
    prompt: str
    max_output_tokens: int = 512
    temperature: float = 0.0
    sampling: Sampling = Sampling()
    shape: Shape | None = None
    stream: bool = False


class EmbeddingInput(Wire):
    """Texts to turn into vectors."""

    kind: Literal["embedding"] = "embedding"
    texts: tuple[str, ...]
    dimensions: int | None = None


class Label(Wire):
    """One class of a classification; a one-line description sharpens it."""

    name: str
    description: str = ""


class AnalysisTask(StrEnum):
    """What to do with each document."""

    SUMMARIZE = "summarize"
    CLASSIFY = "classify"
    ASK = "ask"
    PROMPT = "prompt"
    EXTRACT = "extract"


class TaskOptions(Wire):
    """What a task needs to know besides the document."""

    labels: tuple[Label, ...] = ()
    multi: bool = False
    """Several labels may hold, or none."""
    rationale: bool = False
    """Each label comes with why it holds."""
    question: str = ""
    questions: tuple[str, ...] = ()
    """Several, instead of one: each is asked by itself, below the document, and has an answer of its own."""
    prompt: str = ""
    """What to do with the document, in the user's own words."""
    length: Literal["", "short", "medium", "long"] = ""
    style: Literal["", "prose", "bullets"] = ""
    language: str = ""
    """Of a summary; empty: that of the document."""
    json_schema: dict[str, Any] | None = None
    """What the document is extracted to: an object, whose properties are the fields that are looked for."""
    quotes: bool = True
    """Each extracted value comes with the words of the document that give it; so does a label with `multi` or
    `rationale`."""
    max_output_tokens: int = 256


class Span(Wire):
    """A part of a file of the blob directory, in bytes."""

    blob: str
    start: int
    bytes: int


class Kept(Wire):
    """What of an input lies in a file that several jobs name, and not in its record."""

    options: Span | None = None
    text: Span | None = None


class StepInput(Wire):
    """One engine call of an analysis: a task on one passage, or on the joined answers of several (`reduce`).

    Language-model engines render it to chat messages (`documents.tasks.messages_for`); the extractive engine
    works on it as it is.
    """

    kind: Literal["step"] = "step"
    stage: Literal["map", "reduce"] = "map"
    task: AnalysisTask
    options: TaskOptions = TaskOptions()
    title: str = ""
    text: str
    part: int = 0
    parts: int = 1
    page_starts: tuple[tuple[int, int], ...] = ()
    """(character of `text`, page) for each page that it has text of; empty when pages mean nothing."""
    start: int = 0
    """Where `text` starts in the document's, in characters."""
    one_turn: bool = False
    """The model's chat template takes no system turn: what would stand there goes before the rest."""
    document_first: bool = False
    """The question stands below the passage: what comes before it is the same for each of several questions."""
    marks: tuple[str, ...] = ()
    """Special tokens of the model, besides the usual ones, that stand in title or text and are to be broken there."""
    kept: Kept | None = None


class ReadInput(Wire):
    """Read one document, cut it and submit its engine jobs. Exactly one of `blob` and `text` is set."""

    kind: Literal["read"] = "read"
    name: str
    blob: str | None = None
    text: str | None = None
    way: tuple[int, ...] = ()
    """Where it is in `blob`, when that is an archive or an e-mail that holds it; empty for the blob itself."""
    code: str = ""
    """Why it cannot be had from there, if it cannot; `detail` says more."""
    detail: str = ""
    task: AnalysisTask
    options: TaskOptions = TaskOptions()
    model: str
    kept: Kept | None = None


class About(Wire):
    """What a document says of itself; empty where it says nothing."""

    title: str = ""
    author: str = ""
    created: str = ""
    """A day, as ISO 8601 writes it."""
    language: str | None = None
    """The code of the language that most of it is in (`de`); None where that is not clear."""


class Strand(Wire):
    """One question's way through the merge tree, as `parts` and `below` of a merge are for a task without several."""

    parts: tuple[str, ...]
    below: tuple[str, ...] = ()


class MergeInput(Wire):
    """Combine the answers of `parts` (job ids) to the document's answer, or to one more engine job."""

    kind: Literal["merge"] = "merge"
    parts: tuple[str, ...]
    level: int = 0
    below: tuple[str, ...] = ()
    """The parts of the levels below: what they found and cost belongs to the document's answer."""
    strands: tuple[Strand, ...] = ()
    """Of several questions, in their order; then `parts` and `below` are empty."""
    task: AnalysisTask
    options: TaskOptions = TaskOptions()
    title: str = ""
    model: str
    leaves: int = 1
    """Parts that the document was cut into."""
    pages: int = 0
    characters: int = 0
    notes: tuple[str, ...] = ()
    """What a reader of the answer must know about the document, such as pages without text."""
    about: About | None = None
    kept: Kept | None = None


class LinesInput(Wire):
    """Check a file of requests, and submit a job for each of its lines to a batch that is open."""

    kind: Literal["lines"] = "lines"
    batch: str
    blob: str
    endpoint: str
    """The path that every line names, such as `/v1/chat/completions`."""
    account: str = ""
    """Whose limits its lines count against, as `Job.account` says it."""


class RefusedInput(Wire):
    """A line that asks for what cannot be: it fails with this, and no engine hears of it."""

    kind: Literal["refused"] = "refused"
    code: str
    message: str


class CloseInput(Wire):
    """Write what came of a batch's lines to files, once all have ended."""

    kind: Literal["close"] = "close"
    batch: str
    blob: str
    """The file of its lines."""


EngineWork = ChatInput | CompletionInput | EmbeddingInput | StepInput
"""What an engine is asked."""
EngineInput = Annotated[EngineWork, Field(discriminator="kind")]


FileWork = LinesInput | RefusedInput | CloseInput
"""The CPU steps of a batch that came as a file."""
JobInput = Annotated[EngineWork | ReadInput | MergeInput | FileWork, Field(discriminator="kind")]


class Evidence(Wire):
    """A verbatim quote that an answer rests on."""

    quote: str
    page: int | None = None
    start: int | None = None
    """Where it starts in the text of the document, counted in characters; None where it was not found."""
    end: int | None = None
    unsupported: bool = False
    """The document does not contain it, or has other figures there."""
    field: str = ""
    """Of an extraction which value it gives, as a JSON pointer into it, such as `/lines/2`; of several labels which."""


class Alternative(Wire):
    """What another part of a document gives for a field of an extraction."""

    field: str
    value: Any = None
    evidence: Evidence | None = None


class Reply(Wire):
    """The answer to one of several questions."""

    question: str
    text: str
    answered: bool = True
    """False where the document does not say."""
    confidence: float | None = None
    evidence: tuple[Evidence, ...] = ()


class Answer(Wire):
    """What an engine, or the merge of several engine answers, says."""

    text: str
    answers: tuple[Reply, ...] = ()
    """To several questions, in their order; each has its own evidence."""
    label: str | None = None
    labels: tuple[str, ...] = ()
    """All that hold, where several may; then `label` is None, and `scores` has the share of parts that have each."""
    rationales: dict[str, str] = Field(default_factory=dict)
    """Why the label holds, by its name."""
    confidence: float | None = None
    scores: dict[str, float] = Field(default_factory=dict)
    evidence: tuple[Evidence, ...] = ()
    notice: str = ""
    """What kind of engine answered, where it is not a language model: shown with every answer."""
    engine: str = ""
    model: str = ""
    revision: str | None = None
    """The model's, as the worker that answered knew it; of a document in parts that several gave, all of them."""
    quantization: str | None = None
    engine_version: str | None = None
    usage: Usage = Usage()
    pages: int = 0
    parts: int = 1
    notes: tuple[str, ...] = ()
    about: About | None = None
    """What the document says of itself; of whole documents only."""
    finish_reason: str = ""
    """`stop`, `length` or `tool_calls`, from engines that say so."""
    value: Any = None
    """The answer as JSON, when its shape was a schema or an object."""
    alternatives: tuple[Alternative, ...] = ()
    """Of an extraction: what else the document gives for its fields."""
    tool_calls: tuple[dict[str, Any], ...] = ()
    logprobs: dict[str, Any] | None = None
    """As the OpenAI API has them."""
    embeddings: tuple[tuple[float, ...], ...] = ()
