"""An upload goes on only while the disk has room: many that begin at once each had it then."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import fakeredis
import httpx
import pytest

from standin import StandIn, make_settings, make_store
from viiwork.api.app import create_app

FIELD = b'--X\r\ncontent-disposition: form-data; name="%s"\r\n\r\n%s\r\n'
FILE = b'--X\r\ncontent-disposition: form-data; name="%s"; filename="a.txt"\r\n\r\n'
PIECE = b"x" * 300_000
FOREVER = float("inf")


@pytest.mark.parametrize(
    ("path", "head"),
    [
        ("/v1/files", FIELD % (b"purpose", b"user_data") + FILE % b"file"),
        ("/v1/analyses", FIELD % (b"task", b"summarize") + FILE % b"files"),
    ],
)
@pytest.mark.parametrize("room", [True, False])
async def test_one_without_a_length_ends_where_the_disk_is_full(
    tmp_path: Path, path: str, head: bytes, *, room: bool
) -> None:
    """Nothing of it stays."""
    settings = make_settings(tmp_path)
    store = make_store(settings, fakeredis.FakeServer())
    await StandIn(store).join()
    app = create_app(settings, store)
    gauge = app.state.intake.gauge

    async def body() -> AsyncIterator[bytes]:
        gauge._room._seen = ((0.0, 2**60), FOREVER)
        yield head + PIECE
        yield PIECE
        if not room:
            gauge._room._seen = ((0.0, 1), FOREVER)
        yield PIECE
        yield b"\r\n--X--\r\n"

    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://localhost") as http:
        headers = {"content-type": "multipart/form-data; boundary=X"}
        answer = await http.post(path, content=body(), headers=headers)
    kept = [found for found in (tmp_path / "blobs").rglob("*") if found.is_file()]
    if room:
        assert answer.is_success, answer.text
        assert [found.stat().st_size for found in kept] == [len(PIECE) * 3]
    else:
        assert (answer.status_code, answer.json()["error"]["code"]) == (507, "insufficient_storage")
        assert kept == []
    await store.close()
