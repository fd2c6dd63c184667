"""`viiwork analyze`: documents in, answers out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from viiwork.bigrun.record import RunRecord, beside, read_record
from viiwork.cli.again import check_alone, paths_again, sample_again
from viiwork.cli.callbacks import CallbackUrl
from viiwork.cli.notes import Metadata, Retention, labels_of
from viiwork.cli.options import AsJson, Server, connect, model_by_flag
from viiwork.cli.order import Order, order_again
from viiwork.cli.output import Hashed, hashed
from viiwork.cli.rowfile import check_new
from viiwork.cli.sources import find_files
from viiwork.cli.taskflags import TASKS, TaskFlags
from viiwork.cli.urgency import Deadline, Urgency, choose_priority, seconds_of
from viiwork.errors import UsageError
from viiwork.jobs import Lane, Priority
from viiwork.multipart import FileDocument
from viiwork.tabling.formats import Format, format_of

LANES = ", ".join(Lane)
DEFAULT_SEED = 0


def analyze(
    paths: Annotated[
        list[str] | None,
        typer.Argument(metavar="PATH…", help="Files and folders; hidden files and links in them are skipped."),
    ] = None,
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
    retention_hours: Retention = None,
    metadata: Metadata = None,
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
    sample: Annotated[
        int | None,
        typer.Option(min=1, metavar="N", help="Only N documents, drawn at random; --resume goes on with the others."),
    ] = None,
    seed: Annotated[
        int | None, typer.Option(metavar="N", help="Draws another sample; the same N draws the same. Default: 0.")
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with --out FILE: what has an answer there is not done again.")
    ] = False,
    from_file: Annotated[
        Path | None,
        typer.Option("--from", metavar="FILE.run.json", help="Repeat a run by its record, on its files or on PATH…."),
    ] = None,
    wait: Annotated[bool, typer.Option("--wait/--no-wait", help="Follow it to its end.")] = True,
    recursive: Annotated[bool, typer.Option("--recursive/--no-recursive", "-r", help="Folders in folders too.")] = True,
    server: Server = None,
    as_json: AsJson = False,
) -> None:
    """Analyse documents: summarize, classify, ask a question of each, extract fields, or do what a prompt says.

    Exit code: 0 all documents have an answer, 1 some have none, 130 detached with Ctrl-C.
    """
    flags = TaskFlags(
        task=task,
        labels=labels,
        labels_file=labels_file,
        question=question,
        prompt=prompt,
        prompt_file=prompt_file,
        length=length,
        style=style,
        language=language,
        schema=schema,
        quotes=quotes,
        max_tokens=max_tokens,
    )
    again = None if from_file is None else read_record(from_file)
    if again is not None:
        rest = {"lane": lane != Lane.BATCH.value, "priority": priority != Priority.NORMAL.value}
        check_alone(flags.given | rest | {"resume": resume, "sample": sample, "seed": seed})
        order = replace(order_again(again, model=model), deadline_s=seconds_of(deadline), callback_url=callback_url)
        order = replace(order, retention_hours=retention_hours, metadata=labels_of(metadata))
        paths = paths_again(again, paths or ())
        recursive, (sample, seed) = again.recursive, sample_again(again)
    else:
        chosen, options = flags.settle()
        order = Order(
            task=chosen,
            options=options,
            model=model,
            lane=choose_lane(lane),
            priority=choose_priority(priority),
            deadline_s=seconds_of(deadline),
            callback_url=callback_url,
            retention_hours=retention_hours,
            metadata=labels_of(metadata),
        )
    if estimate and (resume or sample is not None):
        message = "--estimate: says what all files take; it has no place beside --sample and --resume."
        raise UsageError(message, param="estimate")
    check_rows(out_file)
    check_run(paths, out_file, wait=wait, resume=resume, sample=sample, seed=seed)
    files = find_files(paths or (), recursive=recursive)

    from viiwork.cli.estimate import told_estimate  # noqa: PLC0415 - readers and tokenizers, for this command alone
    from viiwork.cli.run import Wish, carry_out  # noqa: PLC0415 - as above

    with connect(server) as client, model_by_flag():
        if estimate:
            told_estimate(client, files, order, as_json=as_json)
            return
        wish = Wish(
            paths=tuple(paths or ()),
            recursive=recursive,
            out=out_file,
            wait=wait,
            resume=resume,
            sample=sample,
            seed=DEFAULT_SEED if seed is None else seed,
            yes=yes,
            again=again,
            as_json=as_json,
            server=server,
        )
        code = carry_out(client, order, told_apart(files, out_file, again), wish)
    raise typer.Exit(code)


def told_apart(files: Sequence[FileDocument], out_file: Path | None, again: RunRecord | None) -> list[Hashed]:
    """The files with the digests of their contents, where a record wants them."""
    return hashed(files) if out_file is not None or again is not None else [Hashed(file, "") for file in files]


def check_run(
    paths: Sequence[str] | None,
    out_file: Path | None,
    *,
    wait: bool,
    resume: bool,
    sample: int | None,
    seed: int | None,
) -> None:
    """Raises UsageError for flags that do not go together, and for an output that somebody would miss."""
    if not paths:
        raise UsageError("PATH: name the files and folders to analyse.", param="PATH")
    if seed is not None and sample is None:
        raise UsageError("--seed: has no place without --sample N.", param="seed")
    if resume and out_file is None:
        raise UsageError("--resume: say with --out FILE which rows are there already.", param="resume")
    if out_file is not None:
        check_out(out_file, wait=wait, resume=resume)
        check_record(out_file, resume=resume)


def check_out(path: Path, *, wait: bool, resume: bool = False) -> None:
    """Raises UsageError for a file of rows that nobody would write, or that holds something."""
    if not wait:
        hint = "Leave it out, and fetch them with `viiwork results ID --out FILE`."
        raise UsageError("--out: with --no-wait there are no rows to write yet.", hint=hint, param="out")
    if not resume:
        check_new(path)


def check_record(path: Path, *, resume: bool) -> None:
    """Raises UsageError where a record says that rows of an earlier run belong to the file."""
    if not resume and beside(path).exists():
        hint = "Go on with it by --resume, or name another file."
        raise UsageError(f"{beside(path)}: an earlier run is recorded here.", hint=hint, param="out")


def choose_lane(lane: str) -> Lane:
    """The lane of this name. Raises UsageError."""
    if lane not in frozenset(Lane):
        raise UsageError(f"--lane {lane}: there is no such lane.", hint=f"Choose one of {LANES}.", param="lane")
    return Lane(lane)


def check_rows(path: Path | None) -> None:
    """Raises UsageError for a file of rows that is named like a table or a report."""
    if path is not None and format_of("", path) is not Format.JSONL:
        hint = f"Name it FILE.jsonl; `viiwork results ID --out {path}` writes this one then."
        raise UsageError(f"--out {path}: rows come as JSON Lines.", hint=hint, param="out")
