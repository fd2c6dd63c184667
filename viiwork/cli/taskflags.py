"""From what the flags of `viiwork analyze` say to what is asked of each document. Raises UsageError naming the flag."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from viiwork.cli.owntask import OwnTask, find_own, own_folder, read_own, read_schema
from viiwork.documents.taskcheck import check_options
from viiwork.documents.tasks import usual_tokens
from viiwork.errors import UsageError
from viiwork.labels import parse_labels
from viiwork.work import AnalysisTask, Label, TaskOptions

TASKS = ", ".join(AnalysisTask)
BESIDES = ("multi", "rationale")
WORDS = {
    AnalysisTask.CLASSIFY: "classify",
    AnalysisTask.ASK: "ask",
    AnalysisTask.PROMPT: "follow the prompt",
    AnalysisTask.EXTRACT: "extract",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskFlags:
    """The flags that say what is asked, as they were given."""

    task: str = ""
    labels: str = ""
    labels_file: Path | None = None
    multi: bool = False
    rationale: bool = False
    question: tuple[str, ...] = ()
    questions: Path | None = None
    prompt: str = ""
    prompt_file: Path | None = None
    length: str = ""
    style: str = ""
    language: str = ""
    schema: Path | None = None
    quotes: bool = True
    max_tokens: int | None = None

    @property
    def given(self) -> dict[str, object]:
        """Those that say anything, by the names that people type."""
        said = {name: getattr(self, name) for name in self.__dataclass_fields__ if name != "quotes"}
        return {name.replace("_", "-"): value for name, value in said.items()} | {"no-quotes": not self.quotes}

    @property
    def say_nothing(self) -> bool:
        """Whether none of them says what is asked, not even how a summary shall be."""
        return not any(value for name, value in self.given.items() if name != "max-tokens")

    def settle(self) -> tuple[AnalysisTask, TaskOptions]:
        """The task, and all its options. Raises UsageError."""
        own = own_task(self.task)
        task = own.task.value if own else self.task
        asks = read_questions(self.question, self.questions) or (_own_questions(own) if own else {})
        prompt = self.prompt or ("" if self.prompt_file or own is None else own.prompt)
        prompt = read_prompt(prompt, self.prompt_file)
        asked = {"labels": bool(self.labels or self.labels_file), "question": bool(asks), "prompt": bool(prompt)}
        chosen = choose_task(task, **asked, schema=self.schema is not None)
        classes = read_labels(self.labels, self.labels_file) or (own.classes if own else ())
        wanted = read_schema(self.schema) if self.schema is not None else own.form if own else None
        wishes = read_wishes(own, length=self.length, style=self.style, language=self.language)
        besides = {name: getattr(self, name) or (own is not None and getattr(own, name)) for name in BESIDES}
        most = self.max_tokens or (own.max_tokens if own else None) or usual_tokens(chosen, multi=besides["multi"])
        quotes = self.quotes and (own is None or own.quotes)
        said = {"labels": classes, **besides, **asks, "prompt": prompt, "json_schema": wanted, **wishes}
        options = TaskOptions.model_validate({**said, "quotes": quotes, "max_output_tokens": most})
        in_files = {"labels_file": bool(self.labels_file and not self.labels), "prompt_file": bool(self.prompt_file)}
        check_flags(chosen, options, **in_files, questions_file=self.questions is not None)
        return chosen, options


def own_task(task: str) -> OwnTask | None:
    """The task of one's own that `--task` names; None for a built-in one. Raises UsageError."""
    found = find_own(task, os.environ)
    return None if found is None else read_own(found)


def read_wishes(own: OwnTask | None, *, length: str, style: str, language: str) -> dict[str, str]:
    """What a summary shall be: the flags', else those of one's own task. Raises UsageError."""
    kept = {"length": own.length, "style": own.style, "language": own.language} if own else {}
    told = {"length": length, "style": style, "language": language}
    for flag, known in (("length", ("short", "medium", "long")), ("style", ("prose", "bullets"))):
        if told[flag] and told[flag] not in known:
            hint = f"Choose one of {', '.join(known)}."
            raise UsageError(f"--{flag} {told[flag]}: there is no such {flag}.", hint=hint, param=flag)
    return {name: value or kept.get(name, "") for name, value in told.items()}


def choose_task(task: str, *, labels: bool, question: bool, prompt: bool = False, schema: bool = False) -> AnalysisTask:
    """The task that was named, or that the other options ask for. Raises UsageError."""
    if task and task not in frozenset(AnalysisTask):
        raise UsageError(
            f"--task {task}: there is no such task.",
            hint=f"Choose one of {TASKS}, a file of your own (FILE.toml), or one in {own_folder()}.",
            param="task",
        )
    if task:
        return AnalysisTask(task)
    asked = {
        AnalysisTask.CLASSIFY: labels,
        AnalysisTask.ASK: question,
        AnalysisTask.PROMPT: prompt,
        AnalysisTask.EXTRACT: schema,
    }
    meant = [kind for kind, given in asked.items() if given]
    if len(meant) > 1:
        raise UsageError(f"--task: say whether to {' or '.join(WORDS[kind] for kind in meant)}.", param="task")
    return meant[0] if meant else AnalysisTask.SUMMARIZE


def check_flags(
    task: AnalysisTask,
    options: TaskOptions,
    *,
    labels_file: bool,
    prompt_file: bool = False,
    questions_file: bool = False,
) -> None:
    """Raises UsageError, naming the flag, for what the service would refuse after the upload."""
    try:
        check_options(task, options)
    except UsageError as error:
        from_file = {"labels": labels_file, "prompt": prompt_file}
        option = (error.param or "").partition(".")[0]
        flag = f"{option}-file" if from_file.get(option) else option
        flag = "question" if option == "questions" and not questions_file else flag
        message = error.message.removeprefix("schema: ")
        raise UsageError(f"--{flag}: {message}", hint=error.hint, param=flag) from error


def read_labels(labels: str, labels_file: Path | None) -> tuple[Label, ...]:
    """Classes from the option, the file, or both. Raises UsageError."""
    if labels_file is None:
        return parse_labels(labels)
    return parse_labels(labels) + parse_labels(read_words(labels_file, "labels-file"), separator="\n")


def read_questions(given: Sequence[str], file: Path | None) -> dict[str, object]:
    """The option that questions come to: one alone is asked above the document, several below it. Raises UsageError."""
    if file is None:
        return {"questions": tuple(given)} if len(given) > 1 else {"question": given[0]} if given else {}
    lines = (line.strip() for line in read_words(file, "questions").splitlines())
    found = tuple(line for line in lines if line and not line.startswith("#"))
    if not found:
        raise UsageError(f"{file}: there is no question in it.", hint="Write one a line.", param="questions")
    return {"questions": (*given, *found)}


def _own_questions(own: OwnTask) -> dict[str, object]:
    asks = {"question": own.question, "questions": own.questions}
    return {name: said for name, said in asks.items() if said}


def read_prompt(prompt: str, prompt_file: Path | None) -> str:
    """The prompt from the option or the file. Raises UsageError for both, and for a file without one."""
    if prompt_file is None:
        return prompt
    if prompt:
        raise UsageError("--prompt-file: has no place beside --prompt; give one of them.", param="prompt-file")
    words = read_words(prompt_file, "prompt-file").strip()
    if not words:
        raise UsageError(f"{prompt_file}: there is no prompt in it.", param="prompt-file")
    return words


def read_words(path: Path, flag: str) -> str:
    """The text of a file that a flag names. Raises UsageError."""
    try:
        return path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise UsageError(f"{path}: {(error.strerror or str(error)).lower()}.", param=flag) from error
    except UnicodeDecodeError as error:
        raise UsageError(f"{path}: is not UTF-8 text.", param=flag) from error
