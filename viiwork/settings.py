"""One `Settings`, built once where a process starts and passed down as an argument.

Order, the later wins: `viiwork.toml` (in the working directory, or `--config`/`VIIWORK_CONFIG`), `VIIWORK_*`
variables (`VIIWORK_REDIS_URL` is `redis.url`), flags.
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    InitSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)
from pydantic_settings import (
    SettingsError as UnreadableVariable,
)

from viiwork.errors import SettingsError
from viiwork.hours import read_hours
from viiwork.jobs import MODEL_PATTERN, Lane

Port = Annotated[int, Field(ge=0, le=65535)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NAME_PATTERN = r"^[a-z0-9][a-z0-9_-]{0,31}$"
MIB = 1024 * 1024
DEFAULT_FILE = "viiwork.toml"
SCHEDULE = "schedule"
"""The one table that is a list of tables, and one variable."""
COMPOSE_ONLY = frozenset({"viiwork_redis_maxmemory"})
"""Variables of compose.yaml that look like a setting of ours; people keep them in their environment."""


class Section(BaseModel):
    """One table of `viiwork.toml`."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class FleetSection(Section):
    """Which fleet this is. Keys, queues and state directory carry its name."""

    name: Annotated[str, Field(pattern=NAME_PATTERN)] = "default"
    state_dir: Path | None = None
    """Default: `$XDG_STATE_HOME/viiwork/<name>`, else `~/.local/state/viiwork/<name>`."""


class RedisSection(Section):
    """Where Redis is; `embedded` runs a private server under the state directory."""

    url: str = "embedded"
    max_memory_bytes: Annotated[int, Field(ge=16 * MIB)] | None = None
    """Of the embedded server. Default: the smaller of a quarter of RAM and 4 GiB."""
    prefix: str = ""
    """Default: `viiwork:<fleet name>:`."""

    @field_validator("url")
    @classmethod
    def _known_scheme(cls, url: str) -> str:
        if url != "embedded" and not re.match(r"^(redis|rediss|redis\+socket|unix|sentinel)://", url):
            raise ValueError("must be 'embedded' or start with redis://, rediss://, redis+socket:// or sentinel://")
        return url


class ApiSection(Section):
    """The HTTP door. Sizes are in bytes."""

    host: str = "127.0.0.1"
    port: Port = 8400
    """0 takes a free one."""
    max_json_bytes: int = 16 * MIB
    max_document_bytes: int = 256 * MIB
    max_upload_bytes: int = 4096 * MIB
    max_documents: int = 50_000
    max_lines: Annotated[int, Field(ge=1)] = 1_000_000
    """Of one file of jobs; what a line may weigh is `max_json_bytes`, the whole file `max_upload_bytes`."""
    min_free_bytes: Annotated[int, Field(ge=0)] = 1024 * MIB
    """No new work is taken while the disk of the blob directory has less than this."""


class FlowerSection(Section):
    """Flower, the fleet's page."""

    enabled: bool = True
    host: str = "127.0.0.1"
    port: Port = 5555


class EngineSection(Section):
    """What the engine workers hold."""

    kind: Annotated[str, Field(min_length=1, max_length=1024)] = "extractive"
    """`extractive`, `simulated`, `noop`, the name of a recipe such as `vllm`, or the path of one's own (`my.toml`)."""
    model: Annotated[str, Field(min_length=1, max_length=1024)] | None = None
    """Of a recipe: the model's directory or file, or the name of one that was pulled. Of the others: the alias."""
    alias: Annotated[str, Field(pattern=MODEL_PATTERN)] | None = None
    """The name under which the model is served. Default: made from the model's."""
    url: Annotated[str, Field(pattern=r"^https?://[^\s/?#]+/?$")] | None = None
    """A server that somebody else runs, for the recipe `url`: `http://host:port`."""
    key_file: Path | None = None
    """Holds the key that the server at `url` wants."""
    args: tuple[str, ...] = ()
    """Appended to the recipe's command."""
    python: Path | None = None
    """The interpreter that has the engine installed. Default: the recipe knows where to look."""
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


class QueueSection(Section):
    """Leases, attempts and draining. Times are in seconds."""

    beat_s: Positive = 1.0
    lease_ttl_s: Positive = 10.0
    hint_grace_s: Positive = 5.0
    max_attempts: Annotated[int, Field(ge=1, le=100)] = 4
    retry_base_s: Positive = 1.0
    retry_cap_s: Positive = 60.0
    max_backlog: Annotated[int, Field(ge=1)] = 1_000_000
    """Unfinished jobs a tenant."""
    job_timeout_s: Positive = 600.0
    drain_grace_s: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 30.0


class ResultsSection(Section):
    """How long results live, counted from the end of the whole analysis."""

    ttl_days: Annotated[float, Field(gt=0, le=36_500)] | Literal["never"] = 30.0

    @property
    def ttl_ms(self) -> int:
        """In milliseconds; 0 means for ever."""
        return 0 if self.ttl_days == "never" else int(self.ttl_days * 86_400_000)


class PowerSection(Section):
    """What the machine may draw, and what that costs."""

    host_watts: Positive | None = None
    """The whole machine's budget at the wall. None: no budget."""
    base_watts: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 150.0
    """What it draws at the wall beside its cards."""
    supply_efficiency: Annotated[float, Field(ge=0.5, le=1.0)] = 0.9
    cap_watts: Positive | None = None
    """Of each card. None: the card's default."""
    control_s: Positive = 5.0
    """How often what is drawn is held against the budget."""
    loads_at_once: Annotated[int, Field(ge=1, le=64)] = 1
    timezone: str | None = None
    """An IANA name, which the schedule goes by. None: the host's."""
    tariff_per_kwh: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None = None
    currency: Annotated[str, Field(min_length=1, max_length=8)] = "EUR"
    co2_g_per_kwh: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None = None

    @field_validator("timezone")
    @classmethod
    def _known_zone(cls, name: str | None) -> str | None:
        try:
            return name and ZoneInfo(name).key
        except (KeyError, ValueError, OSError) as error:  # unknown, or no name of a file at all, or of a directory
            raise ValueError(f"this computer knows no time zone {name!r}: one such as Europe/Berlin") from error


class ScheduleEntry(Section):
    """One `[[schedule]]`: what holds in these hours in place of the table `power`."""

    when: str
    lanes: Annotated[tuple[Lane, ...], Field(min_length=1)] = (Lane.INTERACTIVE, Lane.BATCH)
    """Those that work is taken from."""
    host_watts: Positive | None = None
    cap_watts: Positive | None = None
    days: tuple[Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"], ...] = ()
    """On which the hours begin. Empty: all."""

    @field_validator("when")
    @classmethod
    def _is_hours(cls, written: str) -> str:
        read_hours(written)
        return written


class Settings(BaseSettings):
    """Everything a process of the fleet needs to know."""

    model_config = SettingsConfigDict(
        env_prefix="VIIWORK_",
        env_nested_delimiter="_",
        env_nested_max_split=1,
        extra="ignore",
        frozen=True,
    )

    fleet: FleetSection = FleetSection()
    redis: RedisSection = RedisSection()
    api: ApiSection = ApiSection()
    flower: FlowerSection = FlowerSection()
    engine: EngineSection = EngineSection()
    models: ModelsSection = ModelsSection()
    workers: WorkersSection = WorkersSection()
    devices: DevicesSection = DevicesSection()
    queue: QueueSection = QueueSection()
    results: ResultsSection = ResultsSection()
    power: PowerSection = PowerSection()
    schedule: tuple[ScheduleEntry, ...] = ()

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - the library names its arguments
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        in_file = InitSettingsSource(settings_cls, init_kwargs=_read_file(os.environ, known=set(cls.model_fields)))
        if isinstance(env_settings, EnvSettingsSource):
            env_settings.env_vars = {k: v for k, v in env_settings.env_vars.items() if k not in COMPOSE_ONLY}
        return init_settings, env_settings, in_file

    @property
    def state_dir(self) -> Path:
        """Where this fleet keeps its server, blobs, logs and secrets."""
        return self.fleet.state_dir or default_state_dir(self.fleet.name, os.environ)

    @property
    def models_dir(self) -> Path:
        """Where pulled models are."""
        return self.models.dir or default_models_dir(os.environ)

    @property
    def prefix(self) -> str:
        """What every key and queue of this fleet starts with."""
        return self.redis.prefix or f"viiwork:{self.fleet.name}:"


def default_state_dir(fleet: str, environ: Mapping[str, str]) -> Path:
    """`$XDG_STATE_HOME/viiwork/<fleet>`; a system service without a home gets `/var/lib/viiwork/<fleet>`."""
    base = environ.get("XDG_STATE_HOME")
    if base:
        return Path(base) / "viiwork" / fleet
    home = environ.get("HOME")
    return Path(home, ".local", "state", "viiwork", fleet) if home else Path("/var/lib/viiwork") / fleet


def default_models_dir(environ: Mapping[str, str]) -> Path:
    """`$XDG_DATA_HOME/viiwork/models`; a system service without a home gets `/var/lib/viiwork-models`."""
    base = environ.get("XDG_DATA_HOME")
    if base:
        return Path(base) / "viiwork" / "models"
    home = environ.get("HOME")
    return Path(home, ".local", "share", "viiwork", "models") if home else Path("/var/lib/viiwork-models")


def load_settings(flags: Mapping[str, Any] | None = None) -> Settings:
    """Settings from file, environment and `flags` (`{"api": {"port": 0}}`).

    Raises SettingsError in one line that names the file, variable or field and what is wrong with it.
    """
    given = flags or {}
    try:
        return Settings(**given)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        path = [part for part in first["loc"] if isinstance(part, str)][:2]
        entries = [part + 1 for part in first["loc"][1:2] if isinstance(part, int)]
        unknown = first["type"] == "extra_forbidden"
        reason = "there is no such setting" if unknown else _lower(first["msg"])
        field = ".".join(path)
        where = _where(path, given) + "".join(f", entry {number}" for number in entries)
        hint = _did_you_mean(field, as_variable=where.startswith("variable")) if unknown else ""
        raise SettingsError(f"{where}: {reason}.", hint=f"{hint}See docs/settings.md.", param=field) from error
    except UnreadableVariable as error:
        # the only ones that are no plain values
        hint = (
            'VIIWORK_ENGINE_ARGS and VIIWORK_SCHEDULE are JSON lists: ["--name", "value"], [{"when": "22:00-07:00"}].'
        )
        raise SettingsError(f"a VIIWORK_* variable cannot be read: {error}.", hint=hint) from error


def names() -> list[str]:
    """Every setting: `api.port`."""
    return [f"{name}.{field}" for name, section in tables().items() for field in section.model_fields]


def tables() -> dict[str, type[Section]]:
    """Every table of the file by its name."""
    lists: dict[str, type[Section]] = {SCHEDULE: ScheduleEntry}
    return {name: lists.get(name) or type(field.default) for name, field in Settings.model_fields.items()}


def variables() -> list[str]:
    """Every setting as a variable: `VIIWORK_API_PORT`."""
    return list(dict.fromkeys(variable_of(name) for name in names()))


def variable_of(name: str) -> str:
    """`api.port` → `VIIWORK_API_PORT`. The schedule's fields have one for them all."""
    written = SCHEDULE if name.startswith(f"{SCHEDULE}.") else name
    return f"VIIWORK_{written.replace('.', '_')}".upper()


def section_of(variable: str) -> str:
    """The table that a variable speaks of: `api`; empty where it speaks of none."""
    first, _, field = variable.lower().removeprefix("viiwork_").partition("_")
    return first if first in Settings.model_fields and not (first == SCHEDULE and field) else ""


def meant(name: str, known: Iterable[str]) -> str:
    """The nearest of the known names; empty where none is near."""
    return next(iter(get_close_matches(name, list(known), n=1)), "")


def _did_you_mean(name: str, *, as_variable: bool = False) -> str:
    """`Did you mean queue.beat_s? `, or nothing. What is right but for its table is looked for in the others."""
    section, _, field = name.rpartition(".")
    nearest = meant(field, (known.partition(".")[2] for known in names() if known.startswith(f"{section}.")))
    elsewhere = [known for known in names() if known.partition(".")[2] == field]
    found = f"{section}.{nearest}" if nearest else next(iter(elsewhere), "")
    return f"Did you mean {variable_of(found) if as_variable else found}? " if found else ""


def _where(path: list[str], flags: Mapping[str, Any]) -> str:
    """A setting by the name that it was given under: the variable if one is set and no flag overrides it."""
    section = flags.get(path[0])
    by_flag = path[-1] in section if isinstance(section, Mapping) else section is not None
    variables = {name.upper(): name for name in os.environ}
    variable = variables.get(variable_of(".".join(path)))
    if variable is None or by_flag:
        return f"setting {'.'.join(path)}"
    return f"variable {variable}, {path[-1]}" if path[0] == SCHEDULE else f"variable {variable}"


def _lower(text: str) -> str:
    """Pydantic's message as the end of a sentence."""
    text = text.removeprefix("Value error, ")
    return text[:1].lower() + text[1:]


def _read_file(environ: Mapping[str, str], *, known: set[str]) -> dict[str, Any]:
    """The settings file's tables; none when nobody named a file and the default one is missing."""
    named = environ.get("VIIWORK_CONFIG")
    path = Path(named or DEFAULT_FILE)
    try:
        tables = tomllib.loads(path.read_bytes().decode("utf-8-sig"))
    except FileNotFoundError as error:
        if not named:
            return {}
        raise SettingsError(f"{path}: there is no such file.", hint="Check --config or VIIWORK_CONFIG.") from error
    except OSError as error:
        reason = os.strerror(error.errno).lower() if error.errno else "it cannot be read"
        raise SettingsError(f"{path}: {reason}.", hint="Settings are one TOML file.") from error
    except UnicodeDecodeError as error:
        raise SettingsError(f"{path} is not UTF-8 (byte {error.start + 1}).", hint="Save it as UTF-8.") from error
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(f"{path} is not valid TOML: {error}.", hint="Mend that line or remove the file.") from error
    for name in tables:
        if name not in known:
            nearest = meant(name, known)
            hint = f"Did you mean [{nearest}]? " if nearest else _did_you_mean(name)
            raise SettingsError(
                f"{path}: there is no setting or table {name}.", hint=f"{hint}Known: {', '.join(sorted(known))}."
            )
    return tables
