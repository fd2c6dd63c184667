"""Every error VIIWork raises on purpose.

    ViiworkError                 the root: what happened, what to do, whether trying again helps
    ├── UsageError               the caller asked for something that cannot be (HTTP 400, exit 2)
    │   ├── SettingsError        a settings file, variable or flag is wrong
    │   ├── Unauthorized         no API key came with the request, or none that is valid (401)
    │   ├── Forbidden            the key is not for this (403)
    │   ├── NotFound             no such job, analysis or document (404)
    │   ├── ModelNotServed       nobody serves the model that was asked for (404)
    │   ├── Conflict             an idempotency key came back with another body (409)
    │   ├── Gone                 the results' time to live is over (410)
    │   └── TooLarge             an upload or a body is over its limit (413)
    ├── Unavailable              a service is not reachable or is shutting down (503, exit 3)
    │   ├── StoreUnavailable     Redis does not answer, or answers what we cannot work with
    │   │   └── StoreRefused     a script of ours ends in an error: the same call would again
    │   ├── Busy                 too much waits already; it passes by itself (429)
    │   │   └── RateLimited      a limit of the sender's own; it passes by itself too (429)
    │   └── Full                 memory or disk is nearly used up; somebody must make room (507)
    ├── QuotaExceeded            the sender's tokens of this month are used up (429, exit 2)
    ├── StartupError             a process of the fleet cannot be started (exit 2)
    │   └── NothingFits          no model that is wanted fits on the cards (exit 1)
    ├── ModelError               a model's files cannot be fetched, or are not what they should be
    ├── DocumentError            a document cannot be read; its `code` is the typed outcome
    └── EngineError              an engine cannot run a job
        ├── JobRefused           the job's own fault: trying again cannot help
        └── EngineFault          the engine's or the card's fault: another attempt may succeed
            └── EngineDied       the engine's process ended with the job in it: the job comes back as a suspect

A foreign error is translated once, at the seam that met it, with `raise ... from`.
"""

from __future__ import annotations

from typing import ClassVar


class ViiworkError(Exception):
    """What happened (`message`), what to do (`hint`), and whether a retry helps (`retryable`)."""

    code: str = "internal"
    http_status: ClassVar[int] = 500
    exit_code: ClassVar[int] = 1
    retryable: ClassVar[bool] = False

    def __init__(self, message: str, *, hint: str = "", code: str | None = None, param: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.param = param
        if code is not None:
            self.code = code

    def __str__(self) -> str:
        return f"{self.message} {self.hint}".strip()


class UsageError(ViiworkError):
    """Raised when the caller asked for something that cannot be."""

    code = "invalid_request"
    http_status = 400
    exit_code = 2


class SettingsError(UsageError):
    """Raised when a settings file, a VIIWORK_* variable or a flag is wrong."""

    code = "invalid_settings"


class Unauthorized(UsageError):
    """Raised when a request shows no API key, or none that is valid any more."""

    code = "invalid_api_key"
    http_status = 401


class Forbidden(UsageError):
    """Raised when a key's scopes do not cover what was asked for."""

    code = "insufficient_scope"
    http_status = 403


class NotFound(UsageError):
    """Raised when no job, analysis or document has this id."""

    code = "not_found"
    http_status = 404


class ModelNotServed(NotFound):
    """Raised when no worker serves the model that was asked for."""

    code = "model_not_found"


class Conflict(UsageError):
    """Raised when an `Idempotency-Key` comes back with another body."""

    code = "idempotency_conflict"
    http_status = 409


class Gone(UsageError):
    """Raised when results have outlived their time to live; the message carries the date."""

    code = "expired"
    http_status = 410


class TooLarge(UsageError):
    """Raised when an upload or a body is over its limit."""

    code = "too_large"
    http_status = 413


class Unavailable(ViiworkError):
    """Raised when a service is not reachable, not ready or shutting down."""

    code = "unavailable"
    http_status = 503
    exit_code = 3
    retryable = True


class StoreUnavailable(Unavailable):
    """Raised when Redis does not answer, or answers in a way the store cannot work with."""

    code = "store_unavailable"


class StoreRefused(StoreUnavailable):
    """Raised when one of our scripts ends in an error: the server is there, and the same call would end so again."""


class Busy(Unavailable):
    """Raised when no more work is taken for now; the same request may be taken after `retry_after_s`."""

    code = "busy"
    http_status = 429

    def __init__(self, message: str, *, hint: str = "", retry_after_s: float = 30.0, param: str | None = None) -> None:
        super().__init__(message, hint=hint, param=param)
        self.retry_after_s = retry_after_s


class RateLimited(Busy):
    """Raised when a sender has reached a limit of its own that passes; `kind` is what was short."""

    code = "rate_limit_exceeded"

    def __init__(
        self,
        message: str,
        *,
        hint: str = "",
        retry_after_s: float = 1.0,
        param: str | None = None,
        kind: str = "requests",
    ) -> None:
        super().__init__(message, hint=hint, retry_after_s=retry_after_s, param=param)
        self.kind = kind
        self.taken = 0
        """Of what was sent as one request: so much goes on, and is not to be sent again."""


class QuotaExceeded(ViiworkError):
    """Raised when a sender's tokens of this calendar month are used up: only the next one, or its admin, helps."""

    code = "insufficient_quota"
    http_status = 429
    exit_code = 2


class Full(Unavailable):
    """Raised when Redis' memory or the disk is nearly used up, so that running work may still finish."""

    code = "insufficient_storage"
    http_status = 507


class StartupError(ViiworkError):
    """Raised when a process of the fleet cannot be started: a port in use, a binary missing."""

    code = "startup"
    exit_code = 2


class NothingFits(StartupError):
    """Raised when no model that is wanted fits on the cards that there are, as `viiwork plan` would say."""

    code = "does_not_fit"
    exit_code = 1


class ModelError(ViiworkError):
    """Raised when a model's files cannot be fetched, or are not what they should be."""

    code = "model_error"


class DocumentError(ViiworkError):
    """Raised when a document cannot be read; `code` is its typed outcome, such as `encrypted`."""

    code = "damaged"
    http_status = 400


class EngineError(ViiworkError):
    """Raised when an engine cannot run a job."""

    code = "engine_error"


class JobRefused(EngineError):
    """Raised when the job itself is at fault: too long, or a task the engine cannot do."""

    code = "job_refused"
    http_status = 400
    prompt_tokens: int = 0
    """What the engine had read and written of it by then: an answer that cannot be used was paid for too."""
    output_tokens: int = 0


class EngineFault(EngineError):
    """Raised when the engine or its card is at fault; another attempt may succeed."""

    code = "engine_fault"
    retryable = True
    failed_s: float | None = None
    """When, on the event loop's clock, if it took a while to tell whose fault it was."""


class EngineDied(EngineFault):
    """Raised when the engine's process ended while the job was in it; the job may have been the cause."""

    code = "engine_died"
