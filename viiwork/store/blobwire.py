"""What the two ends say when blobs go through the API: paths, headers, and how the head's side introduces itself."""

from __future__ import annotations

from viiwork.wire import SCHEMA, Wire

BLOBS_PATH = "/v1/internal/blobs"
"""The only thing that a worker token opens."""
SHA256 = "x-viiwork-sha256"
"""Of the whole blob, in hexadecimal: told by whoever sends it, and compared by whoever takes it."""
TOKEN_REFUSED, AWAY = "token_refused", "blobs_unavailable"
"""The codes of what is wrong with the whole way to the blobs, and not with one of them."""
MISSING = "blob_missing"
"""The error's code that says that there is no such blob; any other 404 comes from something else."""


class Standing(Wire):
    """Whose blobs an API has."""

    fleet: str
    belongs_to: str
    """The id that the blob directory shares with its Redis."""
    version: str = ""
    schema_version: int = SCHEMA
