"""How a hub of models is opened: its library comes in only then."""

from __future__ import annotations

import os

from viiwork.models.hub import Hub
from viiwork.settings import Settings

QUIET = ("HF_HUB_DISABLE_XET", "HF_HUB_DISABLE_TELEMETRY", "DO_NOT_TRACK", "HF_HUB_DISABLE_PROGRESS_BARS")
"""Read by huggingface_hub when it is imported. Without Xet a file is one plain HTTP download, which can be resumed."""


def open_hub(settings: Settings) -> Hub:
    """The hub of `models.endpoint`."""
    os.environ.update(dict.fromkeys(QUIET, "1"))
    # Half a second to import, and it reads its variables then.
    from viiwork.models.huggingface import HuggingFace  # noqa: PLC0415

    return HuggingFace(settings.models.endpoint)
