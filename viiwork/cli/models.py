"""`viiwork models`: language models' files on this computer."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from viiwork.cli.agreement import check_agreed
from viiwork.cli.given import settings_from
from viiwork.cli.pulling import display, size_text
from viiwork.cli.screen import err, one_line, out, plain, print_json, say
from viiwork.errors import UsageError
from viiwork.models.check import Verdict, check
from viiwork.models.choice import Wanted
from viiwork.models.find import PATH_STARTS
from viiwork.models.names import parse_name
from viiwork.models.openhub import open_hub
from viiwork.models.pull import pull
from viiwork.models.register import register
from viiwork.models.removal import ensure_unused, meant, remove
from viiwork.models.shelf import Entry, Shelf

SHORT_COMMIT = 12
GIB = 1024**3

models = typer.Typer(no_args_is_help=True, help="Language models' files on this computer: fetch, list, remove them.")

Name = Annotated[
    str, typer.Argument(metavar="NAME[@REVISION]", help="`org/name`; the revision is a branch, tag or commit.")
]
Dir = Annotated[Path | None, typer.Option("--dir", help="Where models are kept. Default: models.dir.")]
Config = Annotated[Path | None, typer.Option(help="Settings file.", exists=True, dir_okay=False)]
AsJson = Annotated[bool, typer.Option("--json", help="JSON on standard output, one object a line.")]


@models.command("pull")
def pull_model(
    name: Name,
    *,
    file: Annotated[str, typer.Option(help="One GGUF file, or a pattern of its name, of a repository with many.")] = "",
    include: Annotated[list[str] | None, typer.Option(metavar="GLOB", help="Fetch these files too.")] = None,
    exclude: Annotated[list[str] | None, typer.Option(metavar="GLOB", help="Leave these files out.")] = None,
    as_name: Annotated[str, typer.Option("--name", help="With a path: the name to give to that directory.")] = "",
    endpoint: Annotated[str | None, typer.Option(metavar="URL", help="The hub, or a mirror of it.")] = None,
    directory: Dir = None,
    config: Config = None,
    as_json: AsJson = False,
) -> None:
    """Fetch a model: safetensors or GGUF weights, configuration and tokenizer, pinned to a commit, every hash checked.

    A pull that was broken off goes on where it stopped. A path and --name register a directory that is here already.
    """
    settings = settings_from(config, models={"dir": directory, "endpoint": endpoint})
    shelf = Shelf(settings.models_dir)
    if as_name or name.startswith(PATH_STARTS):
        show_one(_register(name, as_name, shelf), as_json=as_json)
        return
    asked = parse_name(name)
    wanted = Wanted(include=tuple(include or ()), exclude=tuple(exclude or ()), file=file or asked.file)
    with display() as watcher:
        try:
            pulled = pull(asked, hub=open_hub(settings), shelf=shelf, wanted=wanted, watcher=watcher)
        except KeyboardInterrupt:
            watcher.remark("Stopped. What has come stays: the same command goes on there.")
            raise
    show_one(pulled.entry, as_json=as_json, fetched_bytes=pulled.fetched_bytes)


def _register(path: str, name: str, shelf: Shelf) -> Entry:
    if not name:
        raise UsageError("A directory needs a name.", hint=f"viiwork models pull {path} --name NAME")
    if not Path(path).expanduser().exists():
        raise UsageError(f"there is no file or directory '{path}'.", hint="Check the path.")
    asked = parse_name(name)
    if asked.file or asked.revision:
        raise UsageError(f"'{name}' is no name for a directory.", hint="It looks like `name` or `org/name`.")
    return register(Path(path), asked, shelf=shelf, tell=lambda at, size: say(f"reading {at} ({size_text(size)})"))


@models.command("list")
def list_models(
    name: Annotated[str | None, typer.Argument(metavar="[NAME[@REVISION]]", help="Only these.")] = None,
    *,
    verify: Annotated[bool, typer.Option("--verify", help="Read every file and check its hash.")] = False,
    directory: Dir = None,
    config: Config = None,
    as_json: AsJson = False,
) -> None:
    """Show the models on this computer. Exit code 1 if one is not as it was recorded."""
    shelf = Shelf(settings_from(config, models={"dir": directory}).models_dir)
    entries = meant(parse_name(name), shelf) if name else list(shelf.entries())
    tell = (
        (lambda file: say(f"reading {file.path} ({size_text(file.size)})")) if err().is_terminal else (lambda _: None)
    )
    found = [(entry, check(entry, hashes=verify, tell=tell)) for entry in entries]
    if as_json:
        for entry, verdict in found:
            print_json(as_dict(entry, verdict))
    elif not found:
        out().print(plain(f"There are no models in {shelf.root}. Fetch one: viiwork models pull NAME"), soft_wrap=True)
    else:
        out().print(table(found))
    raise typer.Exit(1 if any(verdict.finished and not verdict.good for _, verdict in found) else 0)


@models.command("rm")
def remove_model(
    name: Name,
    *,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    directory: Dir = None,
    config: Config = None,
    as_json: AsJson = False,
) -> None:
    """Remove a model, or one revision of it. What an engine or a fleet on this computer uses is not removed."""
    settings = settings_from(config, models={"dir": directory})
    shelf, asked = Shelf(settings.models_dir), parse_name(name)
    if asked.file:
        raise UsageError(f"'{name}' is a file of a model.", hint=f"viiwork models rm {asked.repo} removes all of it.")
    entries = meant(asked, shelf)
    ensure_unused(entries, settings=settings)
    check_agreed(f"Remove {_counted(entries)} of {asked.repo}?", yes=yes)
    freed = remove(asked, entries, shelf)
    if as_json:
        print_json({"name": asked.repo, "commits": [entry.commit for entry in entries], "freed_bytes": freed})
    else:
        out().print(plain(f"Removed {_counted(entries)} of {asked.repo}: {size_text(freed)} are free again."))


def _counted(entries: list[Entry]) -> str:
    return "1 revision" if len(entries) == 1 else f"{len(entries)} revisions"


def show_one(entry: Entry, *, as_json: bool, fetched_bytes: int = 0) -> None:
    """What is here now, and what to do with it."""
    if as_json:
        print_json({**as_dict(entry, Verdict()), "fetched_bytes": fetched_bytes})
        return
    size = entry.record.total_bytes if entry.record else 0
    terms = f", licence {entry.record.license}" if entry.record and entry.record.license else ""
    where = f"{entry.repo}: {size_text(size)}, commit {entry.commit}{terms}\n{entry.files_at}"
    out().print(plain(where), soft_wrap=True)


def table(found: list[tuple[Entry, Verdict]]) -> Table:
    """A commit a row."""
    shown = Table()
    for heading in ("Model", "Revision", "Commit", "Pulled"):
        shown.add_column(heading, overflow="fold")
    for heading in ("GiB", "Files"):
        shown.add_column(heading, justify="right")
    shown.add_column("State", overflow="fold")
    for entry, verdict in found:
        record = entry.record
        sizes = (f"{record.total_bytes / GIB:.2f}", str(len(record.files))) if record else ("", "")
        revisions = ", ".join(record.revisions) if record else ""
        pulled = record.pulled.astimezone().strftime("%Y-%m-%d %H:%M") if record else ""
        cells = (entry.repo, revisions, entry.commit[:SHORT_COMMIT], pulled, *sizes, state(entry, verdict))
        shown.add_row(*(plain(one_line(cell)) for cell in cells))
    return shown


def state(entry: Entry, verdict: Verdict) -> str:
    """`ok`, `ok, in /srv/models/mine`, `unfinished: pull it again`, `missing: a.json; wrong: b.safetensors`."""
    if not verdict.finished:
        return "unfinished: pull it again"
    if verdict.good:
        return f"ok, in {entry.files_at}" if entry.files_at != entry.folder else "ok"
    kinds = (("missing", verdict.missing), ("wrong", verdict.wrong))
    return "; ".join(f"{kind}: {', '.join(names)}" for kind, names in kinds if names)


def as_dict(entry: Entry, verdict: Verdict) -> dict[str, Any]:
    """The same for programs."""
    record = entry.record
    told: dict[str, Any] = {"name": entry.repo, "commit": entry.commit, "path": str(entry.files_at)}
    if record is not None:
        told |= record.model_dump(mode="json", include={"revisions", "source", "license", "files"})
        told["bytes"] = record.total_bytes
    state_word = "ok" if verdict.good else "damaged" if verdict.finished else "unfinished"
    return {**told, "state": state_word, "missing": list(verdict.missing), "wrong": list(verdict.wrong)}
