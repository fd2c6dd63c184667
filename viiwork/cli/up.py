"""`viiwork up`: the whole fleet from one command."""

from __future__ import annotations

import asyncio
import os
import shlex
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.status import Status

from viiwork.cli.fitting import Column, FittedTable
from viiwork.cli.given import settings_from
from viiwork.cli.pace import Milestones
from viiwork.cli.screen import err, out, plain, print_json, say
from viiwork.cli.served import with_models
from viiwork.errors import UsageError
from viiwork.fleet.detach import start_detached
from viiwork.fleet.joining import check_joinable
from viiwork.fleet.posting import check_posting
from viiwork.fleet.report import SECONDS, Event, FleetReport, ProcessReport


def up(
    *,
    engine: Annotated[
        str | None,
        typer.Option(help="What answers: extractive, simulated, noop, a recipe such as vllm, or a recipe's file."),
    ] = None,
    gpus: Annotated[int | None, typer.Option(help="Engine workers gpu0, gpu1, …, one a card.")] = None,
    devices: Annotated[
        str | None,
        typer.Option(metavar="SPEC", help="The cards to use: auto, amd, nvidia, none, simulated:8xRadeonVII."),
    ] = None,
    cpus: Annotated[int | None, typer.Option(help="Engine workers on the CPU, when there are no --gpus.")] = None,
    readers: Annotated[int | None, typer.Option(help="Workers that read documents.")] = None,
    slots: Annotated[int | None, typer.Option(help="Requests in flight a worker.")] = None,
    model: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME[,share=N][,replicas=N][,context=N]",
            help="A model's directory or file, or the name of a pulled one; several are placed beside each other.",
        ),
    ] = None,
    alias: Annotated[str | None, typer.Option(help="The name under which the model is served.")] = None,
    url: Annotated[str | None, typer.Option(help="With --engine url: the server that somebody else runs.")] = None,
    key_file: Annotated[Path | None, typer.Option(help="Holds the key that the server at --url wants.")] = None,
    engine_arg: Annotated[
        list[str] | None, typer.Option(help="One more argument for the engine's command; may be repeated.")
    ] = None,
    engine_python: Annotated[Path | None, typer.Option(help="The interpreter that has the engine.")] = None,
    image: Annotated[
        str | None,
        typer.Option(help="Of an engine in a container: the image, name@sha256:… or the id of one built here."),
    ] = None,
    context: Annotated[int | None, typer.Option(help="The longest prompt plus output, in tokens.")] = None,
    start_timeout: Annotated[
        float | None, typer.Option(metavar="SECONDS", help="How long the engine may take until it answers.")
    ] = None,
    time_scale: Annotated[float | None, typer.Option(help="Of the simulated engine: 0.1 is ten times as fast.")] = None,
    host: Annotated[str | None, typer.Option(help="Where the API listens.")] = None,
    port: Annotated[int | None, typer.Option(help="The API's port; 0 takes a free one.")] = None,
    flower: Annotated[bool | None, typer.Option("--flower/--no-flower", help="Flower, the fleet's page.")] = None,
    flower_port: Annotated[int | None, typer.Option(help="Flower's port; 0 takes a free one.")] = None,
    fleet: Annotated[str | None, typer.Option(help="The fleet's name; fleets do not see each other.")] = None,
    role: Annotated[
        str | None, typer.Option(metavar="all|worker", help="worker: join a fleet whose head is another computer.")
    ] = None,
    redis: Annotated[
        str | None, typer.Option(metavar="URL", help="The fleet's Redis, without its password: see redis.url_file.")
    ] = None,
    api: Annotated[
        str | None, typer.Option(metavar="URL", help="With --role worker: the head's API, for its documents.")
    ] = None,
    host_name: Annotated[str | None, typer.Option(help="What this computer is called in the fleet.")] = None,
    state_dir: Annotated[Path | None, typer.Option(help="Where server, documents and logs are kept.")] = None,
    config: Annotated[Path | None, typer.Option(help="Settings file.", exists=True, dir_okay=False)] = None,
    detach: Annotated[bool, typer.Option("--detach", help="Leave it running in the background.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object when it is ready.")] = False,
) -> None:
    """Start the fleet: Redis, the API, readers, engine workers and Flower. Ctrl-C stops it in order.

    With --role worker this computer joins a fleet that another one heads, with its engine workers alone.
    """
    if redis is not None and "@" in redis:
        hint = "Put the whole URL into VIIWORK_REDIS_URL, or into a file that redis.url_file names."
        raise UsageError("--redis: a password on a command line can be seen by everybody.", hint=hint, param="redis")
    settings = settings_from(
        config,
        engine={
            **{"kind": engine, "slots": slots, "alias": alias, "url": url, "key_file": key_file},
            **{"args": engine_arg or None, "python": engine_python, "image": image, "context_tokens": context},
            **{"start_timeout_s": start_timeout, "time_scale": time_scale},
        },
        workers={"gpus": gpus, "cpus": cpus, "readers": readers},
        devices={"spec": devices},
        api={"host": host, "port": port},
        blobs={"url": api},
        redis={"url": redis},
        flower={"enabled": flower, "port": flower_port},
        fleet={"name": fleet, "state_dir": state_dir, "role": role, "host": host_name},
    )
    check_joinable(settings)
    settings = with_models(settings, model or [])
    check_posting(settings, environ=os.environ)
    stop = fleet_command("down", fleet=fleet, state_dir=state_dir, config=config) if detach else ""
    with Screen(as_json=as_json, stop=stop) as screen:
        if detach:
            screen.show(Event(kind="ready", fleet=start_detached(settings, report=screen.show)))
        else:
            from viiwork.fleet.supervisor import keep_up  # noqa: PLC0415 - heavy, and another process' with --detach

            asyncio.run(keep_up(settings, report=screen.show))
    if not detach:
        with suppress(OSError):  # the terminal may have been closed long ago
            say("Stopped.")


class Screen:
    """Shows what the supervisor tells: progress in one line that changes, notices below each other, then the table."""

    def __init__(self, *, as_json: bool, stop: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock, self._told, self._stage = clock, Milestones(), ""
        self._as_json = as_json
        self._stop = stop
        self._console: Console = err()
        self._status: Status = self._console.status(plain("starting"))
        self._last = ""

    def __enter__(self) -> Screen:
        if self._console.is_terminal:
            self._status.start()
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(OSError):
            self._status.stop()

    def show(self, event: Event) -> None:
        """One event of the supervisor."""
        if event.fleet is not None:
            self._status.stop()
            self._show_fleet(event.fleet)
        elif event.kind == "notice":
            self._console.print(plain(event.text))
        elif event.text != self._last:
            self._last = event.text
            self._show_progress(event.text)

    def _show_progress(self, text: str) -> None:
        if self._console.is_terminal:
            self._status.update(plain(text))
            self._status.start()
            return
        stage = SECONDS.sub("", text)  # a model that loads for minutes is no line a second
        changed, self._stage = stage != self._stage, stage
        if self._told.reached(self._clock(), 0.0, at_once=changed):
            say(text)

    def _show_fleet(self, fleet: FleetReport) -> None:
        if self._as_json:
            print_json(fleet.model_dump(mode="json"))
            return
        console = out()
        console.print(plain(f"Fleet {fleet.fleet}\n", "bold"))
        console.print(fleet_table(fleet))
        console.print()
        for line in advice(fleet, stop=self._stop):
            console.print(plain(line), soft_wrap=True)
        sys.stdout.flush()


FLEET_COLUMNS = (
    Column("Name"),
    Column("What", wraps=True),
    Column("State", wraps=True),
    Column("PID", rank=3, right=True),
    Column("Model", rank=1),
    Column("Slots", rank=2, right=True),
    Column("Address", rank=4),
)
"""Where the API and Flower are stands below the table once more."""


def fleet_table(fleet: FleetReport) -> FittedTable:
    """What runs where."""
    table = FittedTable(*FLEET_COLUMNS)
    for row in fleet.processes:
        slots = str(row.slots) if row.slots else ""
        cells = (row.name, what(row), row.state, str(row.pid or ""), row.model, slots, row.address)
        table.add_row(*(plain(cell) for cell in cells))
    return table


def what(row: ProcessReport) -> str:
    """`engine: simulated Radeon VII`, `api`, `server: Valkey 9.1.2`."""
    told = row.engine if row.engine != row.role else ""
    return f"{row.role}: {told}" if told else row.role


def fleet_command(verb: str, *, fleet: str | None, state_dir: Path | None, config: Path | None) -> str:
    """The command, such as `up` or `down`, for the fleet that these flags named."""
    given = {"--fleet": fleet, "--state-dir": state_dir, "--config": config}
    flags = [word for flag, value in given.items() if value is not None for word in (flag, str(value))]
    return shlex.join(["viiwork", verb, *flags])


def advice(fleet: FleetReport, *, stop: str) -> list[str]:
    """Where things are, and how to stop: with the command `stop`, or with Ctrl-C if that is empty."""
    lines = [f"API     {fleet.api_url}"] if fleet.api_url else [f"Joined the fleet '{fleet.fleet}'."]
    if fleet.flower_url:
        user = f"user {fleet.flower_user}, password" if fleet.flower_user else "user and password"
        lines.append(f"Flower  {fleet.flower_url}  {user} in {fleet.flower_password_file}")
    lines.append(f"Logs    {fleet.state_dir}/logs")
    lines.append(f"Stop it with `{stop}`." if stop else "Ctrl-C stops it; running work is finished first.")
    return lines
