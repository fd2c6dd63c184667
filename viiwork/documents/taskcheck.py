"""Whether the options of a task suit it. Pure; raises UsageError naming the field."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from viiwork.documents.tasks import bare_words
from viiwork.errors import UsageError
from viiwork.work import AnalysisTask, TaskOptions

MAX_LABELS = 100
MAX_LABEL_CHARACTERS = 200
MAX_DESCRIPTION_CHARACTERS = 1_000
MAX_QUESTION_CHARACTERS = 4_000
MAX_QUESTIONS = 50
MAX_QUESTIONS_CHARACTERS = 16_000
"""Of several questions together: they are kept with each document's work."""
MAX_PROMPT_CHARACTERS = 16_000
OF_TASK = {
    AnalysisTask.CLASSIFY: "labels",
    AnalysisTask.ASK: "question",
    AnalysisTask.PROMPT: "prompt",
    AnalysisTask.EXTRACT: "json_schema",
}
"""The option that a task needs, and no other task takes."""
BESIDE = {
    "questions": AnalysisTask.ASK,
    "multi": AnalysisTask.CLASSIFY,
    "rationale": AnalysisTask.CLASSIFY,
}
"""Options that one task takes, besides or instead of what it needs."""
WISHES = ("length", "style", "language")
"""What a summary may be asked to be."""
NAMES = {"json_schema": "schema"}
"""What an option is called where that is not its name here."""


def check_options(task: AnalysisTask, options: TaskOptions) -> None:
    """Raises UsageError, naming the field, when the options do not suit the task."""
    for other, name in OF_TASK.items():
        if other is not task and getattr(options, name):
            said = NAMES.get(name, name)
            raise UsageError(f"{said} means nothing for {task}.", hint=f"The task {other} takes it.", param=said)
    for name, of_task in BESIDE.items():
        if task is not of_task and getattr(options, name):
            raise UsageError(f"{name} means nothing for {task}.", hint=f"The task {of_task} takes it.", param=name)
    for name in WISHES:
        if task is not AnalysisTask.SUMMARIZE and getattr(options, name):
            raise UsageError(f"{name} means nothing for {task}.", hint="The task summarize takes it.", param=name)
    CHECKS.get(task, _anything)(options)
    if options.max_output_tokens < 1:
        raise UsageError("max_output_tokens must be at least 1.", param="max_output_tokens")


def _anything(_options: TaskOptions) -> None:
    """A task that needs nothing."""


def _check_ask(options: TaskOptions) -> None:
    if options.questions:
        _check_questions(options)
    else:
        _check_words("ask", "question", options.question, MAX_QUESTION_CHARACTERS, "Say what you want to know.")


def _check_prompt(options: TaskOptions) -> None:
    _check_words("prompt", "prompt", options.prompt, MAX_PROMPT_CHARACTERS, "Say what to do with each document.")


def _check_extract(options: TaskOptions) -> None:
    if options.json_schema is None:
        hint = "Say as a JSON schema which fields to look for."
        raise UsageError("extract needs a schema.", hint=hint, param="schema")
    from viiwork.documents.schemalint import check_extractable  # noqa: PLC0415 - 5 MB of validators, once they are asked for

    check_extractable(options.json_schema)


def _check_words(task: str, name: str, words: str, most: int, hint: str) -> None:
    if not words.strip():
        raise UsageError(f"{task} needs a {name}.", hint=hint, param=name)
    if len(words) > most:
        raise UsageError(
            f"the {name} has {len(words):,} characters; {most:,} are allowed.",
            hint="Say it more briefly; what is to be read belongs in a document.",
            param=name,
        )


def _check_questions(options: TaskOptions) -> None:
    asked, param = options.questions, "questions"
    if options.question:
        raise UsageError(
            "question has no place beside questions.", hint="Put it among the questions.", param="question"
        )
    if len(asked) > MAX_QUESTIONS:
        hint = "Ask the others in another analysis: what was read is not read again."
        raise UsageError(f"there are {len(asked)} questions; {MAX_QUESTIONS} are allowed.", hint=hint, param=param)
    for place, one in enumerate(asked, start=1):
        if not one.strip():
            raise UsageError(f"question {place} is empty.", hint="Leave it out.", param=param)
        if len(one) > MAX_QUESTION_CHARACTERS:
            message = f"question {place} has {len(one):,} characters; {MAX_QUESTION_CHARACTERS:,} are allowed."
            raise UsageError(message, hint="Say it more briefly.", param=param)
    plain = [" ".join(one.split()).casefold() for one in asked]
    if twice := next((place for place, one in enumerate(plain) if one in plain[:place]), None):
        message = f"question {twice + 1} is the same as question {plain.index(plain[twice]) + 1}."
        raise UsageError(message, hint="Leave one of them out.", param=param)
    if (characters := sum(map(len, asked))) > MAX_QUESTIONS_CHARACTERS:
        message = f"the questions have {characters:,} characters; {MAX_QUESTIONS_CHARACTERS:,} are allowed."
        raise UsageError(message, hint="Say them more briefly, or ask some in another analysis.", param=param)


def _check_labels(options: TaskOptions) -> None:
    labels = options.labels
    names = [label.name for label in labels]
    if any(not bare_words(name) for name in names):
        raise UsageError("a label has no name.", hint="Give each label a name with letters or digits.", param="labels")
    if len({bare_words(name) for name in names}) != len(names):
        raise UsageError("two labels have the same name.", hint="Leave one of them out.", param="labels")
    if not 2 <= len(names) <= MAX_LABELS:
        raise UsageError(
            f"classify takes 2 to {MAX_LABELS} labels, not {len(names)}.", hint="Name them all.", param="labels"
        )
    if any(len(name) > MAX_LABEL_CHARACTERS for name in names):
        raise UsageError(
            f"a label's name is over {MAX_LABEL_CHARACTERS} characters.",
            hint="Put what it means in its description.",
            param="labels",
        )
    if any(len(label.description) > MAX_DESCRIPTION_CHARACTERS for label in labels):
        raise UsageError(f"a label's description is over {MAX_DESCRIPTION_CHARACTERS:,} characters.", param="labels")


CHECKS: Mapping[AnalysisTask, Callable[[TaskOptions], None]] = {
    AnalysisTask.CLASSIFY: _check_labels,
    AnalysisTask.ASK: _check_ask,
    AnalysisTask.PROMPT: _check_prompt,
    AnalysisTask.EXTRACT: _check_extract,
}
