"""The fleet's own service: its name, Redis, the HTTP door, Flower, the queue, and how long results live."""

from __future__ import annotations

import ipaddress
import re
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, field_validator

from viiwork.settings.section import HOST_PATTERN, MIB, NAME_PATTERN, Port, Positive, Section


class FleetSection(Section):
    """Which fleet this is. Keys, queues and state directory carry its name."""

    name: Annotated[str, Field(pattern=NAME_PATTERN)] = "default"
    state_dir: Path | None = None
    """Default: `$XDG_STATE_HOME/viiwork/<name>`, else `~/.local/state/viiwork/<name>`."""
    role: Literal["all", "worker"] = "all"
    """`worker`: this computer joins a fleet whose head is another; `up` starts engine workers alone."""
    host: Annotated[str, Field(pattern=HOST_PATTERN)] | None = None
    """What this computer is called in the fleet. Default: its own name."""


class RedisSection(Section):
    """Where Redis is; `embedded` runs a private server under the state directory."""

    url: str = "embedded"
    url_file: Path | None = None
    """Holds the URL where `url` does not say it."""
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
    keys: Literal["auto", "on", "off"] = "auto"
    """Whether requests need an API key; `auto`: unless it listens on loopback. `off` is for loopback alone."""
    max_json_bytes: int = 16 * MIB
    max_bodies_bytes: int = 256 * MIB
    """Of the JSON bodies of all requests under way together, in each process."""
    max_document_bytes: int = 256 * MIB
    max_upload_bytes: int = 4096 * MIB
    max_documents: int = 50_000
    max_lines: Annotated[int, Field(ge=1)] = 1_000_000
    """Of one file of jobs; what a line may weigh is `max_json_bytes`, the whole file `max_upload_bytes`."""
    min_free_bytes: Annotated[int, Field(ge=0)] = 1024 * MIB
    """No new work is taken while the disk of the blob directory has less than this."""
    max_header_bytes: Annotated[int, Field(ge=4096, le=MIB)] = 32 * 1024
    """Of a request's first line and its header fields together."""
    max_connections: Annotated[int, Field(ge=1, le=1_000_000)] = 1000
    """Of each process; one more takes the place of the one that has rested longest."""
    slow_s: Positive = 30.0
    """For so long a request's head may take, and a body that comes in or an answer that is read may hardly move."""
    idle_s: Positive = 75.0
    """How long a connection is kept for its client's next request."""
    processes: Annotated[int, Field(ge=1, le=64)] = 1
    """That answer on the same port."""
    drain_s: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 600.0
    """For so long a process that another follows may go on with what it answers."""
    hosts: tuple[str, ...] = ()
    """Names beside loopback ones that a service on loopback answers to, behind a proxy: `viiwork.example.org`."""
    forwarded_allow_ips: tuple[str, ...] = ()
    """Proxies that are believed when they say whose request they pass on."""
    cors_origins: tuple[str, ...] = ()
    """Web pages of these origins may send work and read answers: `https://app.example.org`."""

    @field_validator("forwarded_allow_ips")
    @classmethod
    def _are_addresses(cls, proxies: tuple[str, ...]) -> tuple[str, ...]:
        for each in proxies:
            try:
                ipaddress.ip_network(each)
            except ValueError as error:
                raise ValueError(f"{each!r} is no address such as 127.0.0.1, and no network") from error
        return proxies

    @field_validator("cors_origins")
    @classmethod
    def _are_origins(cls, origins: tuple[str, ...]) -> tuple[str, ...]:
        for each in origins:
            if not re.fullmatch(r"https?://[^\s/?#@*]+", each):
                raise ValueError(f"{each!r} is no origin such as https://app.example.org")
        return origins

    @property
    def url(self) -> str:
        """Where a program on this machine reaches it."""
        here = {"0.0.0.0": "127.0.0.1", "::": "[::1]", "": "127.0.0.1"}  # noqa: S104 - read here, not bound
        return f"http://{here.get(self.host, f'[{self.host}]' if ':' in self.host else self.host)}:{self.port}"


class AnalyzeSection(Section):
    """What `viiwork analyze` does before it starts."""

    ask_above_hours: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 2.0
    """It asks first where it may take longer, by what the fleet has measured."""


class FlowerSection(Section):
    """Flower, the fleet's page."""

    enabled: bool = True
    host: str = "127.0.0.1"
    port: Port = 5555
    login_file: Path | None = None
    """Holds `user:password`. Default: the user `viiwork`, and `flower.secret` in the state directory."""


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
    """Of those that nobody said anything of (`retention_hours`)."""
    max_days: Annotated[float, Field(gt=0, le=36_500)] | Literal["never"] | None = None
    """The most that `retention_hours` may ask for. Default: `ttl_days`."""

    @property
    def ttl_ms(self) -> int:
        """In milliseconds; 0 means for ever."""
        return 0 if self.ttl_days == "never" else int(self.ttl_days * 86_400_000)

    @property
    def longest_hours(self) -> float | None:
        """What a request may ask for at most; None means anything."""
        most = self.ttl_days if self.max_days is None else self.max_days
        return None if most == "never" else most * 24
