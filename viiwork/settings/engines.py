"""What the workers hold: engines, models, how many workers, on which cards."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, field_validator

from viiwork.jobs import MODEL_PATTERN
from viiwork.settings.section import Positive, Section

ADDRESS = re.compile(r"https?://[^\s/?#]+(/v1)?/?")


def address_of(url: str) -> str:
    """A server's address without `/v1`. Raises ValueError saying how it is written."""
    if not ADDRESS.match(url) and ADDRESS.fullmatch(f"http://{url}"):
        raise ValueError("begin it with http://, as in http://127.0.0.1:8080")
    if not ADDRESS.fullmatch(url):
        raise ValueError("write it as http://host:port, with or without /v1, and nothing more")
    return url.rstrip("/").removesuffix("/v1")


ServerUrl = Annotated[str, AfterValidator(address_of)]
"""Of a server that speaks the OpenAI HTTP API. Its programs take the address with `/v1`; ours add that themselves."""


class EngineSection(Section):
    """What the engine workers hold."""

    kind: Annotated[str, Field(min_length=1, max_length=1024)] = "extractive"
    """`extractive`, `simulated`, `noop`, the name of a recipe such as `vllm`, or the path of one's own (`my.toml`)."""
    model: Annotated[str, Field(min_length=1, max_length=1024)] | None = None
    """Of a recipe: the model's directory or file, or the name of one that was pulled. Of the others: the alias."""
    alias: Annotated[str, Field(pattern=MODEL_PATTERN)] | None = None
    """The name under which the model is served. Default: made from the model's."""
    url: ServerUrl | None = None
    """A server that somebody else runs, for the recipe `url`: `http://host:port`, with or without `/v1`."""
    key_file: Path | None = None
    """Holds the key that the server at `url` wants."""
    args: tuple[str, ...] = ()
    """Appended to the recipe's command."""
    python: Path | None = None
    """The interpreter that has the engine installed. Default: the recipe knows where to look."""
    container: Literal["auto", "docker", "podman", "none"] = "auto"
    """What runs an engine whose recipe names an image; `none`: nothing does, it is a process of this host."""
    image: Annotated[str, Field(max_length=512)] = ""
    """The image of such an engine: `name@sha256:…`, or the id of one that was built here. Default: the recipe's."""
    context_tokens: Annotated[int, Field(ge=256)] | None = None
    """The longest prompt plus output. Default: the recipe's, or the model's if that is less."""
    start_timeout_s: Positive | None = None
    hang_s: Positive | None = None
    """For so long nothing may come from a recipe's engine while requests run, before it is started again."""
    keep_s: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 60.0
    """How long an engine is kept when its worker died, for the next life of that worker."""
    canary: bool = True
    """Whether a recipe's engine is asked for text that makes sense, before its first job and from time to time."""
    canary_every_s: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 600.0
    """Between two looks at whether its text makes sense; 0: only after each start."""
    canary_expect: Annotated[str, Field(max_length=256)] = ""
    """A regular expression that the canary's answer must hold."""
    slots: Annotated[int, Field(ge=1, le=1024)] | None = None
    """Requests in flight a worker, K. Default: the engine's own."""
    time_scale: Positive = 1.0
    """Of the simulated engine: 0.1 runs ten times as fast as the card would."""
    process: bool = False
    """Of the simulated engine: the card is a child process, as a real engine is, and is restarted when it dies."""
    poison: bool = False
    """For fault tests, with `process`: a job that holds the poison marker kills its engine."""


class ServeEntry(Section):
    """One `[[serve]]`: a model that the fleet serves beside others, on the cards that the plan gives it."""

    model: Annotated[str, Field(min_length=1, max_length=1024)]
    """As `engine.model`; with the simulated engine also a name of the catalogue, such as `mistral-7b:int4`."""
    alias: Annotated[str, Field(pattern=MODEL_PATTERN)] | None = None
    """The name under which it is served. Default: made from the model's."""
    share: Annotated[float, Field(ge=0.001, le=1000)] = 1.0
    """Of the demand, beside the shares of the others: cards that are left over are dealt out by it."""
    replicas: Annotated[int, Field(ge=1, le=64)] = 1
    """At least so many, where the cards allow it."""
    context_tokens: Annotated[int, Field(ge=256)] | None = None
    """In place of `engine.context_tokens`."""
    args: tuple[str, ...] = ()
    """Appended to the recipe's command, after `engine.args`."""


class ModelsSection(Section):
    """Where language models are kept, and where they come from."""

    dir: Path | None = None
    """Default: `$XDG_DATA_HOME/viiwork/models`, else `~/.local/share/viiwork/models`; shared by all fleets."""
    endpoint: Annotated[str, Field(pattern=r"^https?://[^\s?#@]+$")] = "https://huggingface.co"

    @field_validator("dir")
    @classmethod
    def _from_here(cls, path: Path | None) -> Path | None:
        """Processes of the fleet may run in another directory than the person who named it."""
        return path and Path(os.path.abspath(os.path.expanduser(path)))  # noqa: PTH100, PTH111 - keep links as they are


class WorkersSection(Section):
    """How many processes of each kind `viiwork up` starts."""

    gpus: Annotated[int, Field(ge=0, le=64)] = 0
    """Workers `gpu0`, `gpu1`, …, one a card. With 0, `cpus` engine workers run on the CPU; but where `devices.spec`
    names cards, 0 is all of them."""
    cpus: Annotated[int, Field(ge=0, le=64)] = 1
    readers: Annotated[int, Field(ge=0, le=64)] = 1
    reader_slots: Annotated[int, Field(ge=1, le=64)] = 4


class DevicesSection(Section):
    """Which cards of this machine the fleet uses."""

    spec: Annotated[str, Field(max_length=256)] = ""
    """`auto`, `amd`, `nvidia`, `none`, `cpu`, or such as `simulated:8xRadeonVII`. Empty: `workers.gpus` says how many
    there are, and nobody looks."""
    settle_s: Annotated[float, Field(ge=0.5, le=86_400)] = 20.0
    """For so long a card must be away, or back, before models are placed anew on that account."""
