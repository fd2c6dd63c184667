"""`viiwork backup` and `viiwork restore`: the fleet's data in one file."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated

import typer

from viiwork.cli.given import settings_from
from viiwork.cli.screen import out, plain, print_json
from viiwork.cli.steps import MIB, Steps
from viiwork.cli.up import fleet_command
from viiwork.settings import Settings
from viiwork.store.backup import Told, back_up
from viiwork.store.embedded import locate
from viiwork.store.manifest import Manifest
from viiwork.store.opening import open_store
from viiwork.store.restore import Restored
from viiwork.store.restore import restore as restore_fleet

File = Annotated[Path, typer.Argument(metavar="FILE", help="Its name ends in .tar, .tar.gz or .tgz.")]
Fleet = Annotated[str | None, typer.Option(help="The fleet's name.")]
StateDir = Annotated[Path | None, typer.Option(help="The fleet's state directory.")]
Config = Annotated[Path | None, typer.Option(help="Settings file.", exists=True, dir_okay=False)]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]


def backup(
    file: File, *, fleet: Fleet = None, state_dir: StateDir = None, config: Config = None, as_json: AsJson = False
) -> None:
    """Write the fleet's data to one file while it runs: Redis as of one moment, and every document and answer."""
    settings = settings_from(config, fleet={"name": fleet, "state_dir": state_dir})
    with Steps() as steps:
        manifest = asyncio.run(_back_up(settings, file, steps.show))
    if as_json:
        print_json({"file": str(file), **manifest.model_dump(mode="json")})
    else:
        out().print(plain(f"{file}: {described(manifest)}."), soft_wrap=True)


def restore(
    file: File, *, fleet: Fleet = None, state_dir: StateDir = None, config: Config = None, as_json: AsJson = False
) -> None:
    """Put a backup into a fleet that does not run and holds nothing. All of it is checked before anything changes."""
    settings = settings_from(config, fleet={"name": fleet, "state_dir": state_dir})
    with Steps() as steps:
        done = asyncio.run(restore_fleet(settings, file, told=steps.show))
    if as_json:
        print_json(as_dict(done, settings))
        return
    start = fleet_command("up", fleet=fleet, state_dir=state_dir, config=config)
    for line in summary(done, settings, start=start):
        out().print(plain(line), soft_wrap=True)


async def _back_up(settings: Settings, file: Path, told: Told) -> Manifest:
    url = locate(settings)
    store = await open_store(settings)
    try:
        return await back_up(store, file, url=url, told=told)
    finally:
        await store.close()


def described(manifest: Manifest) -> str:
    """`fleet 'default' as of 2026-11-21 12:00, 12.0 MiB of Redis data (Valkey 9.1.2), 40 files (3.1 MiB)`."""
    moment = manifest.taken[:16].replace("T", " ")
    redis = f"{manifest.dump_bytes / MIB:.1f} MiB of Redis data ({manifest.server})"
    files = f"{manifest.blobs} files ({manifest.blob_bytes / MIB:.1f} MiB)"
    return f"fleet '{manifest.fleet}' as of {moment} UTC, {redis}, {files}"


def summary(done: Restored, settings: Settings, *, start: str) -> list[str]:
    """What was restored, what to know of it, and the command that starts the fleet."""
    lines = [f"Restored {described(done.manifest)}: {done.keys} keys into the fleet '{settings.fleet.name}'."]
    if done.given_back:
        lines.append(f"{done.given_back} jobs ran when it was taken; they run again.")
    if done.missing:
        lines.append(f"{done.missing} files were deleted while it was taken; what named them has no content.")
    return [*lines, f"Start the fleet with `{start}`."]


def as_dict(done: Restored, settings: Settings) -> dict[str, object]:
    """The same for programs."""
    counts = {"keys": done.keys, "blobs": done.blobs, "given_back": done.given_back, "missing": done.missing}
    return {"fleet": settings.fleet.name, **counts, "backup": done.manifest.model_dump(mode="json")}
