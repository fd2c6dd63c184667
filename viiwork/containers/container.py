"""One engine's container: how it is started, by what it is known, how it is ended. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from pydantic import Field

from viiwork.containers.client import Client, Kind
from viiwork.wire import Wire

ENGINE = "viiwork.engine"
"""A label: `<state directory>:<worker>`, as ENGINE_OF is of a process. What a crash left behind is found by it."""
STATE = "viiwork.state"
"""A label: the state directory, whichever the worker."""
GUARD = "viiwork.guard"
"""A label: the guard that started it, `<pid>/<what no later process of that number has>`."""
START = "viiwork.start"
"""A label: drawn for each start."""


class Container(Wire):
    """What a container is started with, besides what differs from start to start."""

    client: Client
    image: str
    options: tuple[str, ...] = ()
    """Words of `docker run` before the image: cards, mounts, limits, rights."""
    plain: dict[str, str] = Field(default_factory=dict)
    """Variables that the client itself would take for its own, and that hold no secret: said in its command line."""
    pins: dict[str, str] = Field(default_factory=dict)
    """Variables that tell other fleets which cards it has; for the client's process alone."""


def run_words(
    container: Container, argv: Sequence[str], names: Iterable[str], *, name: str, labels: Mapping[str, str]
) -> list[str]:
    """`docker run`: in the foreground, so that its log is the engine's log and its end the engine's end.

    `names` are variables of the client's own environment that pass: by name, since a command line shows in `ps`.
    """
    program, *rest = argv
    return [
        *("run", "--name", name, "--init", "--pull=never"),
        "--log-driver=none",  # the daemon would keep a second copy, without bounds
        *container.options,
        *(word for key, value in labels.items() for word in ("--label", f"{key}={value}")),
        *(word for key, value in container.plain.items() for word in ("--env", f"{key}={value}")),
        *(word for each in names if each not in container.plain for word in ("--env", each)),
        *("--entrypoint", program, container.image, *rest),
    ]


def name_of(worker: str, start: str) -> str:
    """`viiwork-gpu0.gpu1-3f9a…`: a new one for each start, so that none stands in the way of the next."""
    return f"viiwork-{worker.replace('+', '.')}-{start}"


def list_words(kind: Kind, label: str, value: str) -> list[str]:
    """The ids and guards of all that carry this label, running or not: what `listed` reads."""
    guard = f'.Label "{GUARD}"' if kind == "docker" else f'index .Labels "{GUARD}"'  # podman 4.3 knows no `.Label`
    told = f"{{{{.ID}}}} {{{{{guard}}}}}"
    return ["ps", "--all", "--no-trunc", "--filter", f"label={label}={value}", "--format", told]


def listed(lines: Iterable[str]) -> dict[str, str]:
    """By id, the guard of each."""
    rows = (line.partition(" ") for line in lines)
    return {number: guard for number, _, guard in rows if number}


def stop_words(ids: Iterable[str], *, grace_s: float) -> list[str]:
    """SIGTERM, and SIGKILL after the grace."""
    return ["stop", "--time", str(max(0, round(grace_s))), *ids]


def remove_words(ids: Iterable[str]) -> list[str]:
    """With what it wrote beside its mounts."""
    return ["rm", "--force", "--volumes", *ids]


def guard_mark(pid: int, who: str) -> str:
    """As the label has it."""
    return f"{pid}/{who}"


def read_mark(label: str) -> tuple[int, str] | None:
    """The guard; None of a label that is not ours."""
    pid, _, who = label.partition("/")
    return (int(pid), who) if pid.isdigit() and who else None
