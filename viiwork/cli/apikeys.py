"""`viiwork keys`: API keys, made on the computer that has the fleet's state or, with an admin's key, over HTTP."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from viiwork.apikeys import USUAL_SCOPES, ApiKey, KeyShown, Scope
from viiwork.cli.facts import moment
from viiwork.cli.given import settings_from
from viiwork.cli.keydesk import Desk, HttpDesk, StoreDesk
from viiwork.cli.limits import Limit, limits_from, limits_table
from viiwork.cli.options import AsJson, Server, connect
from viiwork.cli.screen import out, plain, print_json, say
from viiwork.cli.urgency import span_s
from viiwork.errors import UsageError
from viiwork.wire import public

SHOWN = 50

keys = typer.Typer(
    no_args_is_help=True,
    help="API keys. Without --server: of this computer's fleet, also while it does not run.",
)

Name = Annotated[str, typer.Argument(help="The key's name, or its id.")]
Fleet = Annotated[str | None, typer.Option(help="The fleet's name.")]
StateDirectory = Annotated[Path | None, typer.Option(help="The fleet's state directory.")]
Config = Annotated[Path | None, typer.Option(help="Settings file.", exists=True, dir_okay=False)]


@keys.command("create")
def create(
    name: Annotated[str, typer.Argument(help="Who gets it: a person or a program.")],
    *,
    tenant: Annotated[str, typer.Option(help="Whose work it sends and sees. Default: the name.")] = "",
    scope: Annotated[
        list[str] | None, typer.Option(help=f"{', '.join(Scope)}; may be repeated. Default: submit and read.")
    ] = None,
    expires: Annotated[str, typer.Option(metavar="TIME", help="When it ends, from now: 90d. Default: never.")] = "",
    limit: Limit = None,
    fleet: Fleet = None,
    state_dir: StateDirectory = None,
    config: Config = None,
    server: Server = None,
    as_json: AsJson = False,
) -> None:
    """Make a key and print it: it is shown this once, and only its hash is kept."""
    limits = limits_from(limit)
    desk = _desk(server, fleet, state_dir, config)
    made = desk.create(name, tenant=tenant, scopes=_scopes(scope), expires_s=span_s(expires, "expires"), limits=limits)
    _show(made, as_json=as_json)


@keys.command("list")
def list_keys(
    *,
    fleet: Fleet = None,
    state_dir: StateDirectory = None,
    config: Config = None,
    server: Server = None,
    as_json: AsJson = False,
) -> None:
    """Show all keys: whose they are, what they are for, and until when."""
    known = _desk(server, fleet, state_dir, config).every()
    if as_json:
        for key in known:
            print_json(public(key))
        return
    out().print(keys_table(known) if known else plain("There are no API keys."))


@keys.command("rotate")
def rotate(
    name: Name,
    *,
    overlap: Annotated[str, typer.Option(metavar="TIME", help="For how long the old one is valid too.")] = "1d",
    at_once: Annotated[bool, typer.Option("--at-once", help="The old one opens nothing from now on.")] = False,
    fleet: Fleet = None,
    state_dir: StateDirectory = None,
    config: Config = None,
    server: Server = None,
    as_json: AsJson = False,
) -> None:
    """Make a new secret for a key and print it; the old one is valid for a day more, so that nobody stops."""
    overlap_s = 0.0 if at_once else span_s(overlap, "overlap") or 0.0
    _show(_desk(server, fleet, state_dir, config).rotate(name, overlap_s=overlap_s), as_json=as_json)


@keys.command("revoke")
def revoke(
    name: Name,
    *,
    fleet: Fleet = None,
    state_dir: StateDirectory = None,
    config: Config = None,
    server: Server = None,
    as_json: AsJson = False,
) -> None:
    """Let a key open nothing any more; every process of the API heeds it within a second."""
    key = _desk(server, fleet, state_dir, config).revoke(name)
    if as_json:
        print_json({"name": key.name, "id": key.id, "revoked": True})
    else:
        print(f"The key {key.name} ({key.hint}) opens nothing any more.")


@keys.command("limits")
def show_limits(
    name: Name,
    *,
    limit: Limit = None,
    fleet: Fleet = None,
    state_dir: StateDirectory = None,
    config: Config = None,
    server: Server = None,
    as_json: AsJson = False,
) -> None:
    """Show how much the holder of a key may use, and what is left of it; with --limit say it first."""
    said = limits_from(limit)
    if said:
        _desk(server, fleet, state_dir, config).limit(name, said)
    told = _desk(server, fleet, state_dir, config).limits(name)
    if as_json:
        print_json(public(told))
        return
    table = limits_table(told)
    out().print(table if table.rows else plain(f"Nothing bounds the key {name}."))
    if told.used_this_month is not None:
        print(f"{told.used_this_month:,} tokens this month.")


@keys.command("audit")
def audit(
    *,
    limit: Annotated[int, typer.Option(min=1, help="How many at most, the last ones.")] = SHOWN,
    fleet: Fleet = None,
    state_dir: StateDirectory = None,
    config: Config = None,
    as_json: AsJson = False,
) -> None:
    """Show what admins did, the oldest first: from audit.jsonl in this computer's state directory."""
    entries = _store_desk(fleet, state_dir, config).audited(limit)
    for entry in entries:
        if as_json:
            print_json(entry)
        else:
            said = " ".join(f"{name}={in_words(value)}" for name, value in entry.get("said", {}).items())
            print(plain(f"{entry.get('at', '')}  {entry.get('by', '')}  {entry.get('act', '')}  {said}".rstrip()))
    if not entries and not as_json:
        print("Nothing was done yet that only an admin may.")


def in_words(value: object) -> str:
    """A list with commas."""
    return ",".join(map(str, value)) if isinstance(value, list) else str(value)


def keys_table(known: tuple[ApiKey, ...]) -> Table:
    """One key a row."""
    table = Table("Name", "Tenant", "Scopes", "Made", "Ends", "Key")
    for key in known:
        ends = moment(key.expires_ms) if key.expires_ms else "never"
        two = f" (the old one too until {moment(key.two_until_ms)})" if key.two_until_ms else ""
        cells = (key.name, key.tenant, ", ".join(key.scopes), moment(key.created_ms), ends, key.hint + two)
        table.add_row(*(plain(cell) for cell in cells))
    return table


def _show(made: KeyShown, *, as_json: bool) -> None:
    if as_json:
        print_json(public(made))
        return
    print(made.secret)
    key = made.key
    say(f"This is the key {key.name} of {key.tenant} ({', '.join(key.scopes)}). It is shown this once.")
    if key.two_until_ms:
        say(f"The old secret is valid too, until {moment(key.two_until_ms)}; --at-once ends it now.")
    say("Its holder keeps it with `viiwork login`, or in VIIWORK_API_KEY. A fleet on loopback asks for keys")
    say("once it is started with VIIWORK_API_KEYS=on.")


def _scopes(said: list[str] | None) -> tuple[Scope, ...]:
    """Also `submit,read`. Raises UsageError."""
    names = [name.strip() for part in said or () for name in part.split(",") if name.strip()]
    unknown = [name for name in names if name not in frozenset(Scope)]
    if unknown:
        raise UsageError(f"--scope {unknown[0]}: there are {', '.join(Scope)}.", param="scopes")
    return tuple(Scope(name) for name in names) or USUAL_SCOPES


def _desk(server: str | None, fleet: str | None, state_dir: Path | None, config: Path | None) -> Desk:
    """Over HTTP where a service is named, else on this computer's own store."""
    here = fleet or state_dir or config
    if server and here:
        raise UsageError("--server: another computer's fleet has no --fleet, --state-dir or --config here.")
    if server or (os.environ.get("VIIWORK_URL") and not here):
        return HttpDesk(connect(server))
    return _store_desk(fleet, state_dir, config)


def _store_desk(fleet: str | None, state_dir: Path | None, config: Path | None) -> StoreDesk:
    return StoreDesk(settings_from(config, fleet={"name": fleet, "state_dir": state_dir}))
