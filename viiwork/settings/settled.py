"""What follows from the settings once all are read: secrets out of files, what a joined computer leaves out."""

from __future__ import annotations

from pathlib import Path

from pydantic import ValidationError

from viiwork.errors import SettingsError
from viiwork.settings.service import RedisSection
from viiwork.settings.settings import Settings


def settled(settings: Settings) -> Settings:
    """The same for a process that is handed what this one settled. Raises SettingsError."""
    blobs, callbacks, workers = settings.blobs, settings.callbacks, settings.workers
    if blobs.token_file and not blobs.token:
        blobs = blobs.model_copy(update={"token": held_in(blobs.token_file, "blobs.token_file")})
    if callbacks.key_file and not callbacks.key:
        callbacks = callbacks.model_copy(update={"key": held_in(callbacks.key_file, "callbacks.key_file")})
    if settings.joined and "readers" not in workers.model_fields_set:
        workers = workers.model_copy(update={"readers": 0})
    held = {"redis": _redis(settings.redis), "blobs": blobs, "callbacks": callbacks, "workers": workers}
    return settings.model_copy(update=held)


def _redis(redis: RedisSection) -> RedisSection:
    if redis.url_file is None or redis.url != "embedded":
        return redis
    try:
        return RedisSection.model_validate({**redis.model_dump(), "url": held_in(redis.url_file, "redis.url_file")})
    except ValidationError as error:
        told = f"redis.url_file: {redis.url_file} holds no Redis URL: redis://, rediss://, unix:// or sentinel://."
        raise SettingsError(told, param="redis.url_file") from error


def held_in(path: Path, name: str) -> str:
    """What stands in a file that the setting `name` names. Raises SettingsError."""
    try:
        return path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise SettingsError(f"{name}: {path} cannot be read: {reason}.", param=name) from error
