"""Documents: read files in bounded processes, cut them by tokens, and put the answers of the parts together.

Kept light on purpose: every reading process imports this package before it forks.
"""

from viiwork.documents.document import Document, Heading, inline_document
from viiwork.documents.limits import Limits

__all__ = ["Document", "Heading", "Limits", "inline_document"]
