"""What browsers are told with each of Flower's answers: nobody may frame it, and it loads nothing from elsewhere."""

from __future__ import annotations

from tornado.httputil import HTTPHeaders
from tornado.web import OutputTransform

GUARDING = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    # its pages hold a script of a line each, and its libraries write styles into them
    "Content-Security-Policy": (
        "default-src 'self'; script-src 'self' 'unsafe-inline'; style-src 'self' 'unsafe-inline'; "
        "img-src 'self' data:; frame-ancestors 'none'; form-action 'self'; base-uri 'none'; object-src 'none'"
    ),
}


class Guarded(OutputTransform):
    """Tornado asks it about every answer, also those to strangers."""

    def transform_first_chunk(
        self,
        status_code: int,
        headers: HTTPHeaders,
        chunk: bytes,
        finishing: bool,  # noqa: ARG002 - Tornado's own signature
    ) -> tuple[int, HTTPHeaders, bytes]:
        """The same answer with the headers."""
        for name, value in GUARDING.items():
            headers[name] = value
        return status_code, headers, chunk
