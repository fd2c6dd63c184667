"""One `Settings`, built once where a process starts and passed down as an argument.

Order, the later wins: `viiwork.toml` (in the working directory, or `--config`/`VIIWORK_CONFIG`), `VIIWORK_*`
variables (`VIIWORK_REDIS_URL` is `redis.url`), flags.
"""

from __future__ import annotations

import os
import socket
from pathlib import Path

from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    InitSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from viiwork.settings.blobs import BlobsSection
from viiwork.settings.callbacks import CallbacksSection
from viiwork.settings.engines import DevicesSection, EngineSection, ModelsSection, ServeEntry, WorkersSection
from viiwork.settings.file import read_file
from viiwork.settings.limits import LimitsSection
from viiwork.settings.naming import SCHEDULE, SERVE
from viiwork.settings.places import default_models_dir, default_state_dir
from viiwork.settings.power import PowerSection, ScheduleEntry
from viiwork.settings.section import Section
from viiwork.settings.service import (
    AnalyzeSection,
    ApiSection,
    FleetSection,
    FlowerSection,
    QueueSection,
    RedisSection,
    ResultsSection,
)

NO_SETTINGS = frozenset({"viiwork_redis_maxmemory", "viiwork_api_key"})
"""What looks like a setting of ours and is none: a variable of compose.yaml, and the key that clients send."""
ENTRIES: dict[str, type[Section]] = {SCHEDULE: ScheduleEntry, SERVE: ServeEntry}


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
    blobs: BlobsSection = BlobsSection()
    limits: LimitsSection = LimitsSection()
    callbacks: CallbacksSection = CallbacksSection()
    flower: FlowerSection = FlowerSection()
    analyze: AnalyzeSection = AnalyzeSection()
    engine: EngineSection = EngineSection()
    serve: tuple[ServeEntry, ...] = ()
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
        in_file = InitSettingsSource(settings_cls, init_kwargs=read_file(os.environ, known=cls.tables()))
        if isinstance(env_settings, EnvSettingsSource):
            env_settings.env_vars = {k: v for k, v in env_settings.env_vars.items() if k not in NO_SETTINGS}
        return init_settings, env_settings, in_file

    @classmethod
    def tables(cls) -> dict[str, type[Section]]:
        """Every table of the file by its name."""
        return {name: ENTRIES.get(name) or type(field.default) for name, field in cls.model_fields.items()}

    @property
    def state_dir(self) -> Path:
        """Where this fleet keeps its server, blobs, logs and secrets."""
        return self.fleet.state_dir or default_state_dir(self.fleet.name, os.environ)

    @property
    def blobs_dir(self) -> Path:
        """Where documents and large answers are, if this computer has them."""
        return self.blobs.dir or self.state_dir / "blobs"

    @property
    def host(self) -> str:
        """What this computer is called in the fleet: `gpu0@<host>`."""
        return self.fleet.host or socket.gethostname()

    @property
    def joined(self) -> bool:
        """Whether the fleet's head is another computer."""
        return self.fleet.role == "worker"

    @property
    def models_dir(self) -> Path:
        """Where pulled models are."""
        return self.models.dir or default_models_dir(os.environ)

    @property
    def prefix(self) -> str:
        """What every key and queue of this fleet starts with."""
        return self.redis.prefix or f"viiwork:{self.fleet.name}:"
