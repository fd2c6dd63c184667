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

    @property
    def takes_groups(self) -> bool:
        """Whether it can be told how a model lies on several cards, as a plan has it."""
        words = " ".join((*self.command, *self.split))
        return "{pipeline_parallel}" in words or "{tensor_split}" in words

    @property
    def needs_model(self) -> bool:
        """Whether the server is told where the model lies; one that is not has it built in."""
        return any("{model}" in text for text in (*self.command, *self.env.values()))
