"""What the kit asks of engines."""

from __future__ import annotations

from viiwork.abilities import Ability
from viiwork.work import (
    AnalysisTask,
    ChatInput,
    CompletionInput,
    EmbeddingInput,
    EngineWork,
    Label,
    Message,
    Sampling,
    Shape,
    StepInput,
    TaskOptions,
)

LETTER = (
    "Dear Ms Novak,\n\nWe confirm that your lease of the flat at 12 Mill Lane ends on 30 June 2026. The deposit of "
    "1,850 euros is returned within thirty days after the keys are handed over. Please leave the meter readings with "
    "the caretaker. If you wish to stay longer, write to us before the end of April.\n\nYours sincerely,\nP. Adams"
)
LABELS = (Label(name="letter", description="a letter to a person"), Label(name="invoice", description="a bill to pay"))
TASKS = {
    AnalysisTask.SUMMARIZE: TaskOptions(max_output_tokens=120),
    AnalysisTask.CLASSIFY: TaskOptions(labels=LABELS),
    AnalysisTask.ASK: TaskOptions(question="When does the lease end?"),
}
GARBAGE = {
    "binary": "".join(chr(code) for code in range(1, 256)) * 20,
    "one endless word": "x" * 60_000,
    "no sentence at all": ") ( * & % 5 ^ \u200b \u202e" * 500,
    "emoji": "🙂👩‍👩‍👧‍👦" * 2_000,
    "one letter": "a",
    "lone surrogate": "a \ud800 b. It goes on after that.",
    "line ends only": "\r\n\r\na\r\n" * 500,
    "other script": "これは契約書です。甲は乙に対して支払う。" * 50,
}
PERSON = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "maxLength": 12},
        "age": {"type": "integer", "minimum": 0, "maximum": 99},
    },
    "required": ["name", "age"],
    "additionalProperties": False,
}
LEASE = TaskOptions(
    json_schema={
        "type": "object",
        "properties": {
            "ends": {"anyOf": [{"type": "string", "format": "date"}, {"type": "null"}]},
            "deposit_euros": {"type": "integer", "minimum": 0, "maximum": 99_999},
            "tone": {"enum": ["friendly", "stern"]},
            "people": {"type": "array", "items": {"$ref": "#/$defs/person"}, "maxItems": 2},
        },
        "required": ["ends"],
        "additionalProperties": False,
        "$defs": {"person": PERSON},
    },
    max_output_tokens=700,
)
SHAPES = {
    "json_schema": Shape(json_schema=PERSON),
    "json_object": Shape(json_object=True),
    "regex": Shape(regex="[a-z]{3,8}-[0-9]{2}"),
    "choice": Shape(choice=("red", "green", 'half "blue"')),
}
TOOL = {
    "type": "function",
    "function": {
        "name": "look_up",
        "description": "Look a lease up.",
        "parameters": {"type": "object", "properties": {}, "additionalProperties": False},
    },
}
EMBEDDING = EmbeddingInput(texts=("a lease of a flat", "a bill for gas"))


def work_of(ability: Ability) -> EngineWork:
    """Work that wants it."""
    plain: dict[Ability, EngineWork] = {
        Ability.CHAT: chat(),
        Ability.COMPLETION: completion(),
        Ability.EMBEDDING: EMBEDDING,
        Ability.TOOLS: chat().model_copy(update={"tools": (TOOL,)}),
        Ability.SHAPE: chat(shape=SHAPES["choice"]),
        Ability.PROMPT: step(task=AnalysisTask.PROMPT, options=TaskOptions(prompt="List all dates.")),
        Ability.WISHES: step(options=TaskOptions(style="bullets", max_output_tokens=60)),
        Ability.EXTRACT: step(task=AnalysisTask.EXTRACT, options=LEASE),
        **{one: labelled(one) for one in (Ability.MULTI, Ability.RATIONALE)},
    }
    return plain[ability] if ability in plain else step(task=AnalysisTask(ability.value))


def labelled(wanted: Ability) -> StepInput:
    """A classification that wants several labels, or why."""
    options = TASKS[AnalysisTask.CLASSIFY].model_copy(update={wanted.value: True})
    return step(task=AnalysisTask.CLASSIFY, options=options)


def step(
    text: str = LETTER, *, task: AnalysisTask = AnalysisTask.SUMMARIZE, options: TaskOptions | None = None
) -> StepInput:
    return StepInput(task=task, options=TASKS[task] if options is None else options, title="A letter", text=text)


def chat(
    text: str = "Write a poem about meters.", *, tokens: int = 24, shape: Shape | None = None, **sampling: object
) -> ChatInput:
    message = Message(role="user", content=text)
    sampled = Sampling.model_validate(sampling)
    return ChatInput(messages=(message,), max_output_tokens=tokens, shape=shape, sampling=sampled)


def completion(text: str = "Once upon a time", *, tokens: int = 24, **sampling: object) -> CompletionInput:
    return CompletionInput(prompt=text, max_output_tokens=tokens, sampling=Sampling.model_validate(sampling))


INCOMPLETE: tuple[EngineWork, ...] = (
    step("a \ud800 b. It goes on."),
    step("  \n "),
    step(task=AnalysisTask.CLASSIFY, options=TaskOptions()),
    step(task=AnalysisTask.ASK, options=TaskOptions(question=" ")),
)
