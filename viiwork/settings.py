"""One `Settings`, built once where a process starts and passed down as an argument.

Order, the later wins: `viiwork.toml` (in the working directory, or `--config`/`VIIWORK_CONFIG`), `VIIWORK_*`
variables (`VIIWORK_REDIS_URL` is `redis.url`), flags.
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict, TomlConfigSettingsSource

from viiwork.errors import SettingsError
from viiwork.jobs import MODEL_PATTERN

Port = Annotated[int, Field(ge=0, le=65535)]
NAME_PATTERN = r"^[a-z0-9][a-z0-9_-]{0,31}$"
MIB = 1024 * 1024


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


class FlowerSection(Section):
    """Flower, the fleet's page."""

    enabled: bool = True
    host: str = "127.0.0.1"
    port: Port = 5555


class EngineSection(Section):
    """What the engine workers hold."""

    kind: Literal["extractive", "simulated", "noop"] = "extractive"
    model: Annotated[str, Field(pattern=MODEL_PATTERN)] | None = None
    """The served alias. Default: the engine's own."""
    slots: Annotated[int, Field(ge=1, le=1024)] | None = None
    """Requests in flight a worker, K. Default: the engine's own."""
    time_scale: Annotated[float, Field(gt=0)] = 1.0
    """Of the simulated engine: 0.1 runs ten times as fast as the card would."""


class WorkersSection(Section):
    """How many processes of each kind `viiwork up` starts."""

    gpus: Annotated[int, Field(ge=0, le=64)] = 0
    """Workers `gpu0`, `gpu1`, …, one a card. With 0, `cpus` engine workers run on the CPU."""
    cpus: Annotated[int, Field(ge=0, le=64)] = 1
    readers: Annotated[int, Field(ge=0, le=64)] = 1
    reader_slots: Annotated[int, Field(ge=1, le=64)] = 2


class QueueSection(Section):
    """Leases, attempts and draining. Times are in seconds."""

    beat_s: Annotated[float, Field(gt=0)] = 1.0
    lease_ttl_s: Annotated[float, Field(gt=0)] = 12.0
    hint_grace_s: Annotated[float, Field(gt=0)] = 5.0
    max_attempts: Annotated[int, Field(ge=1, le=100)] = 4
    job_timeout_s: Annotated[float, Field(gt=0)] = 600.0
    drain_grace_s: Annotated[float, Field(ge=0)] = 30.0


class ResultsSection(Section):
    """How long results live, counted from the end of the whole analysis."""

    ttl_days: Annotated[float, Field(gt=0)] | Literal["never"] = 30.0

    @property
    def ttl_ms(self) -> int:
        """In milliseconds; 0 means for ever."""
        return 0 if self.ttl_days == "never" else int(self.ttl_days * 86_400_000)


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
    workers: WorkersSection = WorkersSection()
    queue: QueueSection = QueueSection()
    results: ResultsSection = ResultsSection()

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - the library names its arguments
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        toml_file = os.environ.get("VIIWORK_CONFIG", "viiwork.toml")
        return init_settings, env_settings, TomlConfigSettingsSource(settings_cls, toml_file=toml_file)

    @property
    def state_dir(self) -> Path:
        """Where this fleet keeps its server, blobs, logs and secrets."""
        return self.fleet.state_dir or default_state_dir(self.fleet.name, os.environ)

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


def load_settings(flags: Mapping[str, Any] | None = None) -> Settings:
    """Settings from file, environment and `flags` (`{"api": {"port": 0}}`).

    Raises SettingsError in one line that names the file or field and what is wrong with it.
    """
    try:
        return Settings(**(flags or {}))
    except tomllib.TOMLDecodeError as error:
        path = os.environ.get("VIIWORK_CONFIG", "viiwork.toml")
        raise SettingsError(f"{path} is not valid TOML: {error}.", hint="Mend that line or remove the file.") from error
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"])
        raise SettingsError(f"setting {field}: {first['msg']}.", hint="See docs/settings.md.", param=field) from error
    except (OSError, UnicodeDecodeError, ValueError) as error:
        raise SettingsError(f"the settings cannot be read: {error}.") from error
