"""`viiwork gc`: remove files that nothing names."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from viiwork.cli.given import settings_from
from viiwork.cli.screen import clean, out, plain, print_json
from viiwork.settings import Settings
from viiwork.store.blobdir import Orphan
from viiwork.store.collector import GRACE_S, Collected, Collector
from viiwork.store.opening import open_store

HOUR_S = 3600.0
MIB = 1024 * 1024


def gc(
    *,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="List what would go, and leave it.")] = False,
    older_than: Annotated[
        float, typer.Option(metavar="HOURS", min=1.0, help="Younger files are never touched: an upload may need them.")
    ] = GRACE_S / HOUR_S,
    adopt: Annotated[
        bool, typer.Option("--adopt", help="Say that this blob directory and this Redis belong together.")
    ] = False,
    fleet: Annotated[str | None, typer.Option(help="The fleet's name.")] = None,
    state_dir: Annotated[Path | None, typer.Option(help="The fleet's state directory.")] = None,
    config: Annotated[Path | None, typer.Option(help="Settings file.", exists=True, dir_okay=False)] = None,
    as_json: Annotated[bool, typer.Option("--json", help="JSON on standard output, one object a line.")] = False,
) -> None:
    """Remove stored files that no record names: broken-off uploads, outputs of attempts that came too late.

    Workers do this by themselves every six hours.
    """
    settings = settings_from(config, fleet={"name": fleet, "state_dir": state_dir})
    told = (_listed_json if as_json else _listed) if dry_run else None
    found = asyncio.run(_collect(settings, older_than * HOUR_S, dry_run=dry_run, adopt=adopt, told=told))
    if as_json:
        print_json({**asdict(found), "fleet": settings.fleet.name})
    else:
        out().print(plain(summary(found)), soft_wrap=True)


async def _collect(
    settings: Settings, grace_s: float, *, told: Callable[[Orphan], None] | None, **flags: bool
) -> Collected:
    store = await open_store(settings)
    try:
        return await Collector(store, grace_s=grace_s, pause_s=0.0).collect(told=told, **flags)
    finally:
        await store.close()


def _entry(orphan: Orphan) -> dict[str, Any]:
    return {"kind": orphan.kind, "id": orphan.path.name, "bytes": orphan.bytes, "age_s": round(orphan.age_s)}


def _listed_json(orphan: Orphan) -> None:
    print_json(_entry(orphan))


def _listed(orphan: Orphan) -> None:
    print(clean(f"{orphan.kind:<6}  {orphan.path.name}  {orphan.bytes} bytes, {orphan.age_s / HOUR_S:.0f} h old"))


def summary(found: Collected) -> str:
    """`Removed 3 blobs and 1 broken-off upload (1.2 MiB); 4096 records were read.`"""
    verb = "Would remove" if found.dry_run else "Removed"
    blobs, uploads = _count(found.blobs, "blob"), _count(found.uploads, "broken-off upload")
    size = (found.blob_bytes + found.upload_bytes) / MIB
    return f"{verb} {blobs} and {uploads} ({size:.1f} MiB); {_count(found.records, 'record')} read."


def _count(number: int, what: str) -> str:
    return f"{number} {what}" + ("" if number == 1 else "s")
