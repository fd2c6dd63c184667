"""`viiwork analyze`: documents in, answers out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from viiwork.bigrun.record import RunRecord, read_record
from viiwork.cli.again import check_alone, paths_again, sample_again
from viiwork.cli.callbacks import CallbackUrl
from viiwork.cli.notes import Metadata, Retention, labels_of
from viiwork.cli.options import AsJson, Server, by_flags, connect
from viiwork.cli.order import Order, order_again
from viiwork.cli.outfile import OutFile
from viiwork.cli.output import Hashed, hashed
from viiwork.cli.rowfile import check_new
from viiwork.cli.screen import say
from viiwork.cli.sources import find_files
from viiwork.cli.tablefile import FormatFlag, check_table
from viiwork.cli.taskflags import TASKS, TaskFlags
from viiwork.cli.urgency import Deadline, Urgency, choose_priority, seconds_of
from viiwork.errors import UsageError
from viiwork.jobs import Lane, Priority
from viiwork.multipart import FileDocument
from viiwork.tabling.formats import ENDINGS, Format, format_of

LANES = ", ".join(Lane)
DEFAULT_SEED = 0
SUMMARIZES = (
    "No task was named, so this summarizes each document; --question, --schema, --labels or --prompt ask for more."
)


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
            help=f"One of {TASKS}, or a task of your own. Default: what the other options ask for, else summarize.",
        ),
    ] = "",
    labels: Annotated[str, typer.Option(help="Classes: `invoice,letter:mail from a person,other`.")] = "",
    labels_file: Annotated[
        Path | None, typer.Option(help="Classes from a file, one `name: description` a line.")
    ] = None,
    multi: Annotated[bool, typer.Option("--multi", help="Several classes may hold, or none.")] = False,
    rationale: Annotated[bool, typer.Option("--rationale", help="Each class with why it holds.")] = False,
    question: Annotated[
        list[str] | None, typer.Option(help="What to ask of each document; several times for several answers.")
    ] = None,
    questions: Annotated[Path | None, typer.Option(metavar="FILE", help="Questions from a file, one a line.")] = None,
    prompt: Annotated[str, typer.Option(help="What to do with each document, in your own words.")] = "",
    prompt_file: Annotated[Path | None, typer.Option(help="The same from a file.")] = None,
    length: Annotated[str, typer.Option(help="Of a summary: short, medium or long.")] = "",
    style: Annotated[str, typer.Option(help="Of a summary: prose or bullets.")] = "",
    language: Annotated[str, typer.Option(help="Of a summary: `German`. Default: the document's own.")] = "",
    schema: Annotated[
        Path | None, typer.Option(metavar="FILE.json", help="Which fields to look for: a JSON schema of an object.")
    ] = None,
    quotes: Annotated[
        bool,
        typer.Option("--quotes/--no-quotes", help="Each field (or class) with the words of the document that give it."),
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
        Path | None,
        typer.Option(
            "--out",
            "-o",
            metavar="FILE",
            help="Rows to FILE: .csv, .md, .parquet at the end, .jsonl as they come.",
        ),
    ] = None,
    form: FormatFlag = "",
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
        multi=multi,
        rationale=rationale,
        question=tuple(question or ()),
        questions=questions,
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
    out, printed = wished_form(form, out_file, wait=wait and not estimate, as_json=as_json)
    check_run(paths, out, wait=wait, resume=resume, sample=sample, seed=seed)
    files = find_files(paths or (), recursive=recursive)

    from viiwork.cli.estimate import told_estimate  # noqa: PLC0415 - readers and tokenizers, for this command alone
    from viiwork.cli.run import Wish, carry_out  # noqa: PLC0415 - as above

    with connect(server) as client, by_flags():
        if estimate:
            told_estimate(client, files, order, as_json=as_json)
            return
        wish = Wish(
            paths=tuple(paths or ()),
            recursive=recursive,
            out=out,
            printed=printed,
            wait=wait,
            resume=resume,
            sample=sample,
            seed=DEFAULT_SEED if seed is None else seed,
            yes=yes,
            again=again,
            as_json=as_json or (bool(form) and out is None),
            server=server,
        )
        code = carry_out(client, order, told_apart(files, out_file, again), wish)
    if again is None and flags.say_nothing:
        say(SUMMARIZES)
    raise typer.Exit(code)


def told_apart(files: Sequence[FileDocument], out_file: Path | None, again: RunRecord | None) -> list[Hashed]:
    """The files with the digests of their contents, where a record wants them."""
    return hashed(files) if out_file is not None or again is not None else [Hashed(file, "") for file in files]


def check_run(
    paths: Sequence[str] | None,
    out: OutFile | None,
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
    if resume and out is None:
        raise UsageError("--resume: say with --out FILE which rows are there already.", param="resume")
    if out is not None:
        check_waited(wait=wait)
        out.check(resume=resume)


def check_out(path: Path, *, wait: bool) -> None:
    """Raises UsageError for a file of rows that nobody would write, that holds something, or is named like a table."""
    check_waited(wait=wait)
    form = ENDINGS.get(path.suffix.lower())
    if form is not Format.JSONL:
        hint = "Name it FILE.jsonl" + (f"; `viiwork results ID --out {path}` writes this one then." if form else ".")
        raise UsageError(f"--out {path}: rows come as JSON Lines.", hint=hint, param="out")
    check_new(path)


def check_waited(*, wait: bool) -> None:
    """Raises UsageError where nobody would be there to write rows."""
    if not wait:
        hint = "Leave it out, and fetch them with `viiwork results ID --out FILE`."
        raise UsageError("--out: with --no-wait there are no rows to write yet.", hint=hint, param="out")


def wished_form(form: str, out_file: Path | None, *, wait: bool, as_json: bool) -> tuple[OutFile | None, Format | None]:
    """The output with its form; or the form of a table on standard output. Raises UsageError."""
    chosen = format_of(form, out_file)
    if out_file is not None:
        return OutFile(out_file, chosen), None
    if form and not wait:
        raise UsageError("--format: has no place beside --no-wait and --estimate.", param="format")
    if chosen is Format.JSONL:
        return None, None
    if as_json:
        raise UsageError(f"--json: has no place beside --format {chosen}.", param="json")
    check_table(None, chosen, force=False)
    return None, chosen


def choose_lane(lane: str) -> Lane:
    """The lane of this name. Raises UsageError."""
    if lane not in frozenset(Lane):
        raise UsageError(f"--lane {lane}: there is no such lane.", hint=f"Choose one of {LANES}.", param="lane")
    return Lane(lane)
