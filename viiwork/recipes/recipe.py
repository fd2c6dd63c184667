"""How to start one kind of engine, and how to speak to it: data, one TOML file each."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

Dialect = Literal["openai", "vllm", "llama.cpp", "tgi", "mlc"]
"""How structured output, priorities and errors are said; `openai` is what all of them have in common."""


class Part(BaseModel):
    """A table of a recipe: frozen, and a misspelt name is refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Metrics(Part):
    """Where the engine's Prometheus page is, and the names of what is read there; an empty name is not read."""

    path: str = "/metrics"
    running: str = ""
    waiting: str = ""
    kv_use: str = ""
    """A share, 0 to 1."""
    preemptions: str = ""
    prompt_tokens: str = ""
    output_tokens: str = ""
    """Tokens generated so far: if they stand still while requests run, the engine hangs."""
    progress: str = ""
    """Any other counter that moves while it works, where its tokens are counted only at a request's end."""


class Boxed(Part):
    """What the engine needs when it runs in a container of the recipe's `image`; the table `[container]`."""

    when: Literal["always", "absent"] = "always"
    """absent: only where its program is not on this host itself."""
    python: str = "python3"
    """What {python} stands for in there."""
    inherit: tuple[str, ...] = ()
    """Variables of the worker that pass as they are; no others do."""
    user: Literal["host", "image"] = "host"
    """host: this user's number, to whom the model's files and the mounts belong; image: whom the image names."""
    read_only: bool = True
    """Whether nothing can be written but in /tmp, in the home that it is given and in {scratch}."""
    ipc: Literal["private", "host"] = "private"
    """host: it shares this computer's shared memory. ROCm was seen to want that."""
    shm_bytes: Annotated[int, Field(ge=0)] = 1 << 30
    """Of shared memory, which the parts of an engine over several cards talk through; not with `ipc = "host"`."""
    seccomp: Literal["default", "unconfined"] = "default"
    memory_bytes: Annotated[int, Field(gt=0)] | None = None
    """It is ended when it takes more. Default: four fifths of this computer's."""
    pids: Annotated[int, Field(gt=0)] = 4096
    """Processes and threads."""
    devices: tuple[str, ...] = ()
    """Device files besides its cards'."""
    mounts: tuple[str, ...] = ()
    """Folders and files of this host that it may read, under the same names, besides the model."""


class Recipe(Part):
    """One kind of engine. In `command`, `env` and `serves_as` these are replaced: {python} {model} {alias} {host}
    {port} {key} {slots} {context}; {kv_tokens}, the tokens of all slots together, and {kv_bytes}, the memory of their
    keys and values; {cards}, how many it gets: {tensor_parallel} x {pipeline_parallel}; {tensor_split}, what each of
    them gets of the layers (`1,1`); {threads}, its share of the processors; {scratch}, a folder of its own; {here}, the
    folder of the recipe. What a person gives as `engine.args` is appended to the command.
    """

    title: str
    """The engine's kind as people see it: `vLLM (CPU)`."""
    command: tuple[str, ...] = ()
    """Empty for a server that somebody else runs (`engine.url`)."""
    split: tuple[str, ...] = ()
    """Words that follow the command where a model lies on several cards."""
    env: dict[str, str] = Field(default_factory=dict)
    inherit: tuple[str, ...] = ()
    """Variables of the worker that the engine gets as they are, besides those that every program needs."""
    python: tuple[str, ...] = ()
    """Interpreters to look for, the first that has `module` is {python}; relative ones from where our own is."""
    module: str = ""
    install: str = ""
    """What a person does when it is not there."""
    on_cpu: str = ""
    """The recipe to take instead for a worker without a card."""
    model_is: Literal["directory", "gguf", "anything"] = "directory"
    serves_as: str = "{alias}"
    """The model's name in its requests and in its list of models."""
    dialect: Dialect = "openai"
    priority: bool = False
    """Whether requests may carry `priority`, lower is earlier."""
    pin: str = ""
    """The variable that says which cards it sees."""
    key_env: str = ""
    """The variable by which it is told the key that its clients must show."""
    slots: Annotated[int, Field(ge=1, le=1024)] = 16
    context_tokens: Annotated[int, Field(ge=256)] = 8192
    """The longest prompt plus output, unless the model or `engine.context_tokens` say less."""
    health: str = "/health"
    loading: tuple[int, ...] = (503,)
    """HTTP status codes of `health` that mean: it is loading."""
    metrics: Metrics | None = None
    start_timeout_s: Annotated[float, Field(gt=0)] = 900.0
    stop_grace_s: Annotated[float, Field(gt=0)] = 30.0
    """From SIGTERM to SIGKILL."""
    hang_s: Annotated[float, Field(gt=0)] = 120.0
    """For so long nothing may come while requests run."""
    image: str = ""
    """A container's: `name@sha256:…`, or the id of one that was built here. `engine.image` goes before it."""
    container: Boxed = Boxed()

    @property
    def takes_groups(self) -> bool:
        """Whether it can be told how a model lies on several cards, as a plan has it."""
        words = " ".join((*self.command, *self.split))
        return "{pipeline_parallel}" in words or "{tensor_split}" in words

    @property
    def needs_model(self) -> bool:
        """Whether the server is told where the model lies; one that is not has it built in."""
        return any("{model}" in text for text in (*self.command, *self.env.values()))
