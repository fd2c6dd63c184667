"""The HTTP door behind a real socket, served by a thread, with a stand-in worker beside it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

import fakeredis

from standin import StandIn, make_settings, make_store
from viiwork.api.app import create_app
from viiwork.api.server import Server, make_server
from viiwork.listening import listen
from viiwork.store import Store

T = TypeVar("T")
BOUND_S = 60
"""Nothing takes so long on a machine that moves at all."""


class Prompt(Server):
    """Ends when it is told to: uvicorn's own looks every tenth of a second, which hundreds of tests would wait for."""

    def end(self) -> None:
        """From any thread."""
        with suppress(RuntimeError):  # its loop is closed: it has ended already
            self._loop.call_soon_threadsafe(self._over.set)

    async def main_loop(self) -> None:
        self._loop, self._over = asyncio.get_running_loop(), asyncio.Event()
        await self._over.wait()


class Service:
    """`with Service(tmp_path) as service:` answers at `service.url`; its worker works unless `idle`."""

    def __init__(
        self,
        root: Path,
        *,
        idle: bool = False,
        port: int = 0,
        redis: fakeredis.FakeServer | None = None,
        **sections: dict[str, object],
    ) -> None:
        self.root, self._idle, self._port = root, idle, port
        self._redis = redis or fakeredis.FakeServer()
        self._settings = make_settings(root, **sections)
        self._up = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), daemon=True)
        self.url = ""
        self.store: Store
        self.worker: StandIn

    def __enter__(self) -> Service:
        self._thread.start()
        assert self._up.wait(BOUND_S)
        return self

    def __exit__(self, *_error: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Stop answering, as a service that is shut down does."""
        self._server.end()
        self._thread.join(BOUND_S)
        assert not self._thread.is_alive()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run `work` in the service's loop."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(BOUND_S)

    def blob_files(self) -> list[Path]:
        return [path for path in (self.root / "blobs").rglob("*") if path.is_file()]

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        self.store = make_store(self._settings, self._redis)
        self.worker = StandIn(self.store)
        await self.worker.join()
        listener = listen("127.0.0.1", self._port)
        self.url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        # As the door itself has it; without the bound, whoever connects while it ends would keep it for ever.
        app = create_app(self._settings, self.store)
        self._server = make_server(app, self._settings.api, kind=Prompt, graceful_s=1)
        done = asyncio.Event()
        helpers = [asyncio.create_task(self._tell_once_up())]
        if not self._idle:
            helpers.append(asyncio.create_task(self.worker.work_on(done)))
        await self._server.serve(sockets=[listener])
        done.set()
        await asyncio.gather(*helpers)
        await self.store.close()

    async def _tell_once_up(self) -> None:
        while not self._server.started and not self._server.should_exit:
            await asyncio.sleep(0.001)
        self._up.set()
