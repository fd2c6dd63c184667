"""`python -m viiwork.api`: the HTTP door as a process of its own."""

from __future__ import annotations

import logging
import os
import socket
import sys

import uvloop

from viiwork.api.app import create_app
from viiwork.api.gate import check_keys
from viiwork.api.logs import log_to_stderr
from viiwork.api.server import Server, hear_signals, make_server
from viiwork.errors import ViiworkError
from viiwork.listening import handed_down, listen
from viiwork.settings import Settings, load_settings
from viiwork.store import Store, open_store
from viiwork.store.pairing import Pairing
from viiwork.variables import passed_over

log = logging.getLogger("viiwork.api")


def main() -> int:
    """Serve until told to stop; answers the exit code."""
    log_to_stderr()
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
    listener = handed_down(os.environ) or listen(settings.api.host, settings.api.port)
    store = await open_store(settings)
    try:
        await check_keys(settings, store)
    except BaseException:
        await store.close()
        raise
    await meet_blobs(store)
    announce(listener)
    taken = settings.api.model_copy(update={"port": listener.getsockname()[1]})  # 0 took a free one
    server = make_server(create_app(settings.model_copy(update={"api": taken}), store), settings.api, kind=Server)
    try:
        hear_signals(server)
        await server.serve(sockets=[listener])
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


def announce(listener: socket.socket) -> None:
    """Say where; whoever reads that line is served."""
    host, port = listener.getsockname()[:2]
    log.info("listening on http://%s:%s", f"[{host}]" if ":" in host else host, port)


if __name__ == "__main__":
    sys.exit(main())
