"""`python -m viiwork.api`: the HTTP door as a process of its own."""

from __future__ import annotations

import logging
import os
import signal
import socket
import sys

import uvicorn
import uvloop

from viiwork.api.app import create_app
from viiwork.api.gate import check_keys
from viiwork.errors import StartupError, ViiworkError
from viiwork.settings import Settings, load_settings
from viiwork.store import Store, open_store
from viiwork.store.pairing import Pairing
from viiwork.variables import passed_over

log = logging.getLogger("viiwork.api")

GRACEFUL_S = 5
BACKLOG = 1024


def main() -> int:
    """Serve until told to stop; answers the exit code."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    for line in passed_over(os.environ):
        log.warning(line)
    try:
        uvloop.run(serve(load_settings()))
    except ViiworkError as error:
        print(f"viiwork api: {error}", file=sys.stderr)  # noqa: T201 - the one line a person sees
        return error.exit_code
    except KeyboardInterrupt:
        return 0
    return 0


async def serve(settings: Settings) -> None:
    """Run uvicorn on `settings.api`. Raises StartupError when the port is taken, StoreUnavailable without Redis."""
    listener = listen(settings.api.host, settings.api.port)
    store = await open_store(settings)
    try:
        await check_keys(settings, store)
    except BaseException:
        await store.close()
        raise
    await meet_blobs(store)
    announce(listener)
    taken = settings.api.model_copy(update={"port": listener.getsockname()[1]})  # 0 took a free one
    config = uvicorn.Config(
        create_app(settings.model_copy(update={"api": taken}), store),
        access_log=False,  # addresses and query strings are nobody's business
        server_header=False,
        log_level="warning",
        proxy_headers=False,  # nobody may claim another client's address
        timeout_graceful_shutdown=GRACEFUL_S,
    )
    try:
        end_quietly()
        await Server(config).serve(sockets=[listener])
    finally:
        await store.close()


async def meet_blobs(store: Store) -> None:
    """Let the blob directory and Redis know each other: a joined computer tells the right ones by that."""
    root = store.directory.root
    try:
        if not await Pairing(store, root).meet():
            log.warning("the blob directory and Redis do not know each other: see `viiwork doctor`")
    except OSError as error:
        log.warning("the blob directory cannot be written: %s", error.strerror)


class Server(uvicorn.Server):
    """Ends the streams of events before it waits for what is under way: they would keep it waiting in vain."""

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self.config.app.state.watch.end()  # type: ignore[union-attr] # it is the FastAPI application made above
        await super().shutdown(sockets)


def announce(listener: socket.socket) -> None:
    """Say where; whoever reads that line is served."""
    host, port = listener.getsockname()[:2]
    log.info("listening on http://%s:%s", f"[{host}]" if ":" in host else host, port)


def end_quietly() -> None:
    """Once it has shut down, uvicorn raises the signal again that it caught; by then there is nothing left to end."""
    for ending in (signal.SIGINT, signal.SIGTERM):
        signal.signal(ending, lambda *_: None)


def listen(host: str, port: int) -> socket.socket:
    """A listening socket. Raises StartupError naming host and port."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # asyncio turns Nagle's algorithm off only where the protocol is named; with it every answer took 40 ms (measured).
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        message = f"The API cannot listen on {host}:{port}: {(error.strerror or str(error)).lower()}."
        raise StartupError(message, hint="Choose another with --port or VIIWORK_API_PORT.") from error
    return listener


if __name__ == "__main__":
    sys.exit(main())
