"""`viiwork analyze`: documents in, answers out."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from viiwork.cli.callbacks import CallbackUrl
from viiwork.cli.facts import documents
from viiwork.cli.options import AsJson, Server, connect, model_by_flag, server_flag
from viiwork.cli.owntask import OwnTask, find_own, own_folder, read_own, read_schema
from viiwork.cli.progress import display
from viiwork.cli.report import Report
from viiwork.cli.rowfile import check_new, open_rows
from viiwork.cli.screen import print_json, say
from viiwork.cli.sources import find_files
from viiwork.cli.urgency import Deadline, Urgency, choose_priority, seconds_of
from viiwork.cli.watch import DETACHED, Sink, exit_code, follow_or_detach, raw_printer, row_reader
from viiwork.client import Client
from viiwork.documents.extraction import DEFAULT_OUTPUT_TOKENS
from viiwork.documents.tasks import check_options
from viiwork.errors import UsageError
from viiwork.jobs import BatchStatus, Lane
from viiwork.labels import parse_labels
from viiwork.multipart import FileDocument
from viiwork.settings import load_settings
from viiwork.wire import public
from viiwork.work import AnalysisTask, Label, TaskOptions

TASKS = ", ".join(AnalysisTask)
LANES = ", ".join(Lane)
WORDS = {
    AnalysisTask.CLASSIFY: "classify",
    AnalysisTask.ASK: "ask",
    AnalysisTask.PROMPT: "follow the prompt",
    AnalysisTask.EXTRACT: "extract",
}


def analyze(
    paths: Annotated[
        list[str],
        typer.Argument(metavar="PATH…", help="Files and folders; hidden files and links in them are skipped."),
    ],
    *,
    task: Annotated[
        str,
        typer.Option(
            metavar="TASK|FILE.toml",
            help=f"One of {TASKS}, or a task of your own. Default: what the other options ask for.",
        ),
    ] = "",
    labels: Annotated[str, typer.Option(help="Classes: `invoice,letter:mail from a person,other`.")] = "",
    labels_file: Annotated[
        Path | None, typer.Option(help="Classes from a file, one `name: description` a line.")
    ] = None,
    question: Annotated[str, typer.Option(help="What to ask of each document.")] = "",
    prompt: Annotated[str, typer.Option(help="What to do with each document, in your own words.")] = "",
    prompt_file: Annotated[Path | None, typer.Option(help="The same from a file.")] = None,
    length: Annotated[str, typer.Option(help="Of a summary: short, medium or long.")] = "",
    style: Annotated[str, typer.Option(help="Of a summary: prose or bullets.")] = "",
    language: Annotated[str, typer.Option(help="Of a summary: `German`. Default: the document's own.")] = "",
    schema: Annotated[
        Path | None, typer.Option(metavar="FILE.json", help="Which fields to look for: a JSON schema of an object.")
    ] = None,
    quotes: Annotated[
        bool, typer.Option("--quotes/--no-quotes", help="Each field with the words of the document that give it.")
    ] = True,
    max_tokens: Annotated[
        int | None,
        typer.Option(min=1, metavar="N", help="Tokens that an answer may have. Default: 256, with a schema 1024."),
    ] = None,
    lane: Annotated[str, typer.Option(help=f"One of {LANES}.")] = Lane.BATCH.value,
    model: Annotated[str, typer.Option(help="The model to use. Default: the only one served.")] = "",
    deadline: Deadline = "",
    priority: Urgency = "normal",
    callback_url: CallbackUrl = "",
    out_file: Annotated[
        Path | None, typer.Option("--out", metavar="FILE", help="Rows as they come, JSON Lines.")
    ] = None,
    estimate: Annotated[
        bool,
        typer.Option("--estimate", help="Read the files and say what it will take: ask no model, send nothing."),
    ] = False,
    yes: Annotated[
        bool, typer.Option("--yes", help="Do not ask first, however many hours it takes (`analyze.ask_above_hours`).")
    ] = False,
    wait: Annotated[bool, typer.Option("--wait/--no-wait", help="Follow it to its end.")] = True,
    recursive: Annotated[bool, typer.Option("--recursive/--no-recursive", "-r", help="Folders in folders too.")] = True,
    server: Server = None,
    as_json: AsJson = False,
) -> None:
    """Analyse documents: summarize, classify, ask a question of each, extract fields, or do what a prompt says.

    Exit code: 0 all documents have an answer, 1 some have none, 130 detached with Ctrl-C.
    """
    own = own_task(task)
    if own is not None:
        task, question = own.task.value, question or own.question
        prompt = prompt or ("" if prompt_file else own.prompt)
        max_tokens = max_tokens or own.max_tokens
    prompt = read_prompt(prompt, prompt_file)
    asked = {"labels": bool(labels or labels_file), "question": bool(question), "prompt": bool(prompt)}
    chosen = choose_task(task, **asked, schema=schema is not None)
    classes = read_labels(labels, labels_file) or (own.classes if own else ())
    wanted = read_schema(schema) if schema is not None else own.form if own else None
    wishes = read_wishes(own, length=length, style=style, language=language)
    options = TaskOptions.model_validate(
        {"labels": classes, "question": question, "prompt": prompt, "json_schema": wanted, **wishes}
    )
    quotes = quotes and (own is None or own.quotes)
    check_flags(chosen, options, labels_file=bool(labels_file and not labels), prompt_file=bool(prompt_file))
    travel, urgency, deadline_s = choose_lane(lane), choose_priority(priority), seconds_of(deadline)
    if out_file is not None:
        check_out(out_file, wait=wait)
    files = find_files(paths, recursive=recursive)
    full = options.model_copy(update={"quotes": quotes, "max_output_tokens": max_tokens or usual_tokens(chosen)})
    with connect(server) as client:
        if estimate:
            with model_by_flag():
                tell_estimate(client, files, task=chosen, options=full, model=model, as_json=as_json)
            return
        if not yes:
            with model_by_flag():
                ask_first(client, files, task=chosen, options=full, model=model)
        order = partial(
            client.analyze,
            files,
            task=chosen,
            labels=classes,
            question=question,
            prompt=prompt,
            schema=wanted,
            quotes=quotes,
            length=wishes["length"],
            style=wishes["style"],
            language=wishes["language"],
            max_output_tokens=max_tokens,
            lane=travel,
            model=model or None,
            deadline_s=deadline_s,
            priority=urgency,
            callback_url=callback_url or None,
        )
        with model_by_flag():
            status = send(order)
        if not wait:
            started(status, as_json=as_json, server=server)
            return
        status = finish(client, status, out_file=out_file, as_json=as_json, server=server)
    raise typer.Exit(exit_code(status))


def usual_tokens(task: AnalysisTask) -> int:
    """How long an answer may be where nobody says."""
    return DEFAULT_OUTPUT_TOKENS if task is AnalysisTask.EXTRACT else TaskOptions().max_output_tokens


def tell_estimate(
    client: Client,
    files: Sequence[FileDocument],
    *,
    task: AnalysisTask,
    options: TaskOptions,
    model: str,
    as_json: bool,
) -> None:
    """`--estimate`."""
    from viiwork.cli.estimate import told_estimate  # noqa: PLC0415 - readers and tokenizers, once they are asked for

    told_estimate(client, files, task=task, options=options, model=model, as_json=as_json)


def ask_first(
    client: Client, files: Sequence[FileDocument], *, task: AnalysisTask, options: TaskOptions, model: str
) -> None:
    """Ask, where it may take hours. Raises UsageError where nobody can be asked, and Exit where somebody says no."""
    from viiwork.cli.consent import check_wanted, whom_to_ask  # noqa: PLC0415 - as above
    from viiwork.cli.estimate import reckoner  # noqa: PLC0415 - as above

    if known := reckoner(client, task=task, options=options, model=model):
        check_wanted(known, files, above_hours=load_settings().analyze.ask_above_hours, asks=whom_to_ask())


def send(order: Callable[..., BatchStatus]) -> BatchStatus:
    """Upload with a display; Ctrl-C before the end of the upload starts nothing. `order` takes `on_upload`."""
    sent = False
    with display() as shown:

        def tell(sent_bytes: int, total_bytes: int) -> None:
            nonlocal sent
            sent = sent_bytes >= total_bytes
            shown.upload(sent_bytes, total_bytes)

        try:
            return order(on_upload=tell)
        except KeyboardInterrupt:
            pass  # said below, once the display is gone
    say("Stopped; " + ("the analysis may have started all the same." if sent else "no analysis was started."))
    raise typer.Exit(DETACHED)


def started(status: BatchStatus, *, as_json: bool, server: str | None) -> None:
    """Say which analysis was started, and how to follow it."""
    if as_json:
        print_json(public(status))
        return
    flag = server_flag(server)
    print(status.id)
    say(f"{documents(status)} sent. Follow with: viiwork watch {status.id}{flag}")


def finish(
    client: Client, status: BatchStatus, *, out_file: Path | None, as_json: bool, server: str | None
) -> BatchStatus:
    """Follow the analysis, writing rows where they were asked for, and show what came of it."""
    report = Report()
    sinks: list[Sink] = [raw_printer() if as_json else row_reader(report)]
    if not as_json:
        say(f"{status.id}: {documents(status)}, model {status.model}")
    with ExitStack() as stack:
        if out_file is not None:
            sinks.append(stack.enter_context(open_rows(out_file, status.id)).add)
        status = follow_or_detach(client, status.id, sinks, server=server, met=True)
    if not as_json:
        where = f"they are in {out_file}" if out_file else f"all: viiwork results {status.id} --out FILE"
        report.show(status, more=where + ("" if out_file else server_flag(server)))
    return status


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


def check_flags(task: AnalysisTask, options: TaskOptions, *, labels_file: bool, prompt_file: bool = False) -> None:
    """Raises UsageError, naming the flag, for what the service would refuse after the upload."""
    try:
        check_options(task, options)
    except UsageError as error:
        from_file = {"labels": labels_file, "prompt": prompt_file}
        option = (error.param or "").partition(".")[0]
        flag = f"{option}-file" if from_file.get(option) else option
        message = error.message.removeprefix("schema: ")
        raise UsageError(f"--{flag}: {message}", hint=error.hint, param=flag) from error


def check_out(path: Path, *, wait: bool) -> None:
    """Raises UsageError for a file of rows that nobody would write, or that holds something."""
    if not wait:
        hint = "Leave it out, and fetch them with `viiwork results ID --out FILE`."
        raise UsageError("--out: with --no-wait there are no rows to write yet.", hint=hint, param="out")
    check_new(path)


def choose_lane(lane: str) -> Lane:
    """The lane of this name. Raises UsageError."""
    if lane not in frozenset(Lane):
        raise UsageError(f"--lane {lane}: there is no such lane.", hint=f"Choose one of {LANES}.", param="lane")
    return Lane(lane)


def read_labels(labels: str, labels_file: Path | None) -> tuple[Label, ...]:
    """Classes from the option, the file, or both. Raises UsageError."""
    if labels_file is None:
        return parse_labels(labels)
    return parse_labels(labels) + parse_labels(read_words(labels_file, "labels-file"), separator="\n")


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
