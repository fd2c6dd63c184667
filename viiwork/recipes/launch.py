"""One engine as it is to be started: everything its guard must know, in one record."""

from __future__ import annotations

import hashlib

from pydantic import Field

from viiwork.containers.container import Container
from viiwork.recipes.recipe import Dialect, Metrics
from viiwork.wire import Wire

PORT = "{port}"
KEY = "{key}"
"""Stand in `argv` and `env` until the guard has chosen them, anew for every start."""
CLEARING_S = 60.0
"""What the end of an engine may take beyond its grace: what hangs is killed (5 s), its card's memory comes back (30 s),
and a guard that does not end itself is ended by its worker (20 s)."""


class Launch(Wire):
    """What a worker asks its guard to start and to look after."""

    worker: str
    """`gpu0`, `cpu0`: whose engine it is."""
    title: str
    alias: str
    """The name under which the server serves the model."""
    argv: tuple[str, ...] = ()
    """Empty when `url` names a server that somebody else runs: it is looked after, never started or ended."""
    env: dict[str, str] = Field(default_factory=dict)
    """The whole environment of the child: nothing is inherited."""
    container: Container | None = None
    """What `argv` runs in, if it is no process of this host's own."""
    url: str = ""
    """`http://host:port`, without `/v1`."""
    key_file: str = ""
    """Of a `url` that wants a key."""
    dialect: Dialect = "openai"
    priority: bool = False
    health: str = "/health"
    loading: tuple[int, ...] = (503,)
    metrics: Metrics | None = None
    slots: int = 16
    context_tokens: int = 8192
    start_timeout_s: float = 900.0
    stop_grace_s: float = 30.0
    hang_s: float = 120.0
    keep_s: float = 60.0
    """How long the engine is kept without its worker."""
    canary: bool = True
    """Whether it is asked for text that makes sense, before its first job and from time to time."""
    canary_every_s: float = 600.0
    """Between two looks at the sanity of its text; 0: only after a start."""
    expect: str = ""
    """A regular expression that the canary's answer must hold, for those who know what their model says."""
    vram_used_file: str = ""
    """The card's own account of its memory in use (bytes), waited on after an end; empty where nobody knows."""

    @property
    def fingerprint(self) -> str:
        """The same for the same engine: a restarted worker adopts only what it would have started itself."""
        return hashlib.sha256(self.model_dump_json().encode()).hexdigest()[:16]
