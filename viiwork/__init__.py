"""VIIWork: documents go in on a fleet of GPU workers, checked answers come out.

    from viiwork import Client

    with Client() as client:
        for row in client.analyze("contracts/", task="ask", question="When does it end?"):
            print(row.document, row.answer.text if row.answer else row.error.message)

Importing this costs nothing: what is named below is loaded when it is first used, and none of it brings along a queue,
an engine or a web server.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from viiwork.client import Analysis, AsyncAnalysis, AsyncClient, Client
    from viiwork.errors import ViiworkError
    from viiwork.jobs import BatchStatus, Row, Status
    from viiwork.multipart import FileDocument, TextDocument
    from viiwork.work import Answer, Evidence, Label

__all__ = [
    "Analysis",
    "Answer",
    "AsyncAnalysis",
    "AsyncClient",
    "BatchStatus",
    "Client",
    "Evidence",
    "FileDocument",
    "Label",
    "Row",
    "Status",
    "TextDocument",
    "ViiworkError",
]

_PLACES = {
    "viiwork.client": ("Analysis", "AsyncAnalysis", "AsyncClient", "Client"),
    "viiwork.errors": ("ViiworkError",),
    "viiwork.jobs": ("BatchStatus", "Row", "Status"),
    "viiwork.multipart": ("FileDocument", "TextDocument"),
    "viiwork.work": ("Answer", "Evidence", "Label"),
}
_PLACE_OF = {name: place for place, names in _PLACES.items() for name in names}


if not TYPE_CHECKING:  # or a type checker would take any name for one that there is

    def __getattr__(name):
        if name not in _PLACE_OF:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return getattr(importlib.import_module(_PLACE_OF[name]), name)

    def __dir__():
        return sorted({*globals(), *__all__})
