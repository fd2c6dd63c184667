"""`viiwork service`: the fleet as a service of systemd, which starts it at boot and again when it fails."""

from __future__ import annotations

import grp
import os
import pwd
import shutil
import stat
import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from viiwork.cli.given import settings_from
from viiwork.cli.options import AsJson
from viiwork.cli.screen import out, plain, print_json, say
from viiwork.deploy.systemd import CAPS, Systemd, UnitState
from viiwork.deploy.unit import Unit, caps_unit, fleet_unit, stop_s
from viiwork.errors import UsageError
from viiwork.fleet.plan import engine_end_s
from viiwork.settings import Settings

service = typer.Typer(no_args_is_help=True, help="The fleet as a service of systemd: from boot on, and after a crash.")

USER = "viiwork"
GROUPS = ("video", "render")
NOT_ACTIVE = 1

Own = Annotated[bool, typer.Option("--user", help="A service of your own systemd instead of the computer's.")]
Config = Annotated[Path | None, typer.Option(help="Settings file.", exists=True, dir_okay=False)]


@service.command("install")
def install(
    *,
    config: Config = None,
    user: Own = False,
    run_as: Annotated[str, typer.Option(metavar="NAME", help="Who the fleet runs as; not with --user.")] = USER,
    caps: Annotated[
        int | None, typer.Option(min=0, metavar="WATTS", help="Also cap each card at boot, by a unit of root's.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show the units and change nothing.")] = False,
) -> None:
    """Write the fleet's unit, and start it now and at every boot. Run it again after the settings have changed.

    Exit codes: 0 done, 2 wrong usage, no systemd, or not allowed.
    """
    if user and caps is not None:
        raise UsageError("--caps needs root, and --user is without.", hint="Run it once more, with sudo.", param="caps")
    systemd = Systemd(user=user, environ=os.environ)
    unit = _unit(config, run_as="" if user else run_as)
    units = {unit.name: fleet_unit(unit)}
    if caps is not None:
        units = {CAPS: caps_unit(unit.program, watts=caps), **units}
    if dry_run:
        _show(systemd.folder, units)
        _say_lacking(config)
        return
    systemd.require()
    if not user:
        _known_user(run_as)
        _roots_own(unit.program, needed=caps is not None)
    systemd.install(units)
    say(f"{unit.name} is installed and started. See `viiwork service status`, `journalctl -u {unit.name}`.")
    _say_lacking(config)
    if user:
        say(f"It ends when you log out, unless root says: loginctl enable-linger {pwd.getpwuid(os.getuid()).pw_name}")


@service.command("uninstall")
def uninstall(*, config: Config = None, user: Own = False) -> None:
    """Stop the fleet in order and remove its unit; with the last fleet of this computer also the unit of the caps. Data
    and models stay.

    Exit codes: 0 done, 2 no systemd, or not allowed.
    """
    systemd = Systemd(user=user, environ=os.environ)
    systemd.require()
    for line in remove(systemd, _unit(config, run_as="").name, user=user):
        say(line)


@service.command("status")
def status(*, config: Config = None, user: Own = False, as_json: AsJson = False) -> None:
    """Show whether the unit is there, whether it runs, and how often it was started again.

    Exit codes: 0 it runs, 1 it does not.
    """
    systemd = Systemd(user=user, environ=os.environ)
    found = systemd.state(_unit(config, run_as="").name)
    if as_json:
        print_json(asdict(found))
    else:
        for line in _lines(found, runs=systemd.runs):
            out().print(plain(line), soft_wrap=True)
    raise typer.Exit(0 if found.active == "active" else NOT_ACTIVE)


def remove(systemd: Systemd, name: str, *, user: bool) -> list[str]:
    """Stop and remove a fleet's unit; answers what came of it. Raises StartupError.

    The caps are those of all cards of the computer: their unit goes with the last fleet.
    """
    others = tuple(each for each in systemd.fleets() if each != name)
    keeps = bool(others) and not user and (systemd.folder / CAPS).exists()
    gone = systemd.uninstall([name, *(() if user or keeps else (CAPS,))])
    lines = [f"Removed {file}." for file in gone] or [f"{name} is not installed."]
    kept = f"{CAPS} stays, which caps the cards at boot: {', '.join(others)} may need it."
    return [*lines, *([kept] if keeps else [])]


def lacking(settings: Settings, *, file: Path | None) -> list[str]:
    """What the service would do without, as the settings are; nothing where cards and an engine are named."""
    lines = []
    if not settings.serve and "kind" not in settings.engine.model_fields_set:
        lines.append(
            "The settings name no engine (engine.kind): it would be the extractive preview, no language model."
        )
    if not settings.devices.spec and not settings.workers.gpus and settings.engine.kind != "url":
        lines.append("The settings name no cards (devices.spec): engines would run on the processor.")
    if lines:
        where = file or "a settings file, and give it with --config"
        lines.append(f"Name them in {where}: docs/deploy.md has one, and `viiwork doctor --config FILE` checks it.")
    return lines


def _say_lacking(config: Path | None) -> None:
    for line in lacking(settings_from(config), file=_chosen(config)):
        say(line)


def _unit(config: Path | None, *, run_as: str) -> Unit:
    settings = settings_from(config)
    power = settings.power
    return Unit(
        fleet=settings.fleet.name,
        program=_program(),
        config=_chosen(config),
        stop_s=stop_s(drain_s=settings.queue.drain_grace_s, engine_end_s=engine_end_s(settings)),
        user=run_as,
        groups=tuple(name for name in GROUPS if _is_group(name)),
        state_dir=_own_dirs(settings),
        writes_caps=bool(power.host_watts or power.cap_watts or settings.schedule),
    )


def _chosen(config: Path | None) -> Path | None:
    """The settings file that `up` would read here; the unit reads no other."""
    chosen = config or Path(os.environ.get("VIIWORK_CONFIG", "viiwork.toml"))
    return chosen.absolute() if chosen.is_file() else None


def _own_dirs(settings: Settings) -> Path | None:
    return settings.fleet.state_dir.absolute() if settings.fleet.state_dir else None


def _program() -> Path:
    """The `viiwork` beside this interpreter, else the one on PATH. Raises UsageError."""
    beside = Path(sys.executable).parent / "viiwork"
    found = beside if beside.is_file() else Path(shutil.which("viiwork") or "")
    if not found.is_file():
        raise UsageError(
            "the command `viiwork` is not installed.", hint="Install it with pip, such as in /opt/viiwork."
        )
    return found.absolute()


def _is_group(name: str) -> bool:
    try:
        grp.getgrnam(name)
    except KeyError:
        return False
    return True


def _known_user(name: str) -> None:
    """Raises UsageError for one that this computer does not have."""
    try:
        pwd.getpwnam(name)
    except KeyError as error:
        hint = (
            f"sudo useradd --system --home-dir /var/lib/viiwork --shell /usr/sbin/nologin {name}, or --run-as another."
        )
        raise UsageError(f"there is no user {name}.", hint=hint, param="run-as") from error


def _roots_own(program: Path, *, needed: bool) -> None:
    """A program that root runs at every boot must be root's, and so must the way to it. Raises UsageError."""
    others = next((path for path in _way(program.resolve()) if _is_others(path)), None) if needed else None
    if others is not None:
        hint = "Install VIIWork where only root may write, such as /opt/viiwork."
        raise UsageError(f"{others} may be changed by others than root, who would run it.", hint=hint, param="caps")


def _way(program: Path) -> Iterator[Path]:
    yield from (program, *program.parents)


def _is_others(path: Path) -> bool:
    told = path.stat()
    sticky = bool(told.st_mode & stat.S_ISVTX)
    return told.st_uid != 0 or (bool(told.st_mode & (stat.S_IWGRP | stat.S_IWOTH)) and not sticky)


def _show(folder: Path, units: dict[str, str]) -> None:
    for name, text in units.items():
        print(f"# {folder / name}\n{text}")


def _lines(found: UnitState, *, runs: bool) -> Iterator[str]:
    yield f"{found.unit}: {found.file or 'not installed'}"
    if not runs:
        yield "systemd does not run this computer."
    elif found.file:
        yield f"{found.active}, {found.enabled} at boot, pid {found.pid or '-'}, started again {found.restarts} times"
