"""Flower, the fleet's page: `python -m viiwork_workers.flower`. It talks to Redis alone and loads no engine.

Flower's own command is not used: it takes the password on its command line, prints the broker's address, and leaves
`/metrics` open. What Flower would show wrongly is mended in `flower_events`, `flower_pages` and `stragglers`.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
from base64 import b64decode
from binascii import Error as Base64Error
from collections.abc import Mapping
from hmac import compare_digest
from typing import Any

from flower.app import Flower
from flower.options import options
from flower.urls import settings as site
from tornado.httputil import HTTPServerRequest
from tornado.ioloop import IOLoop, PeriodicCallback
from tornado.web import RequestHandler

from viiwork.errors import SettingsError, StartupError, ViiworkError
from viiwork.queues import make_app
from viiwork.settings import Settings, held_in, load_settings
from viiwork.statedir import StateDir
from viiwork.store import Store
from viiwork.store.embedded import locate
from viiwork.store.endpoint import broker
from viiwork.store.opening import make_store
from viiwork_workers.flower_events import Ear
from viiwork_workers.flower_headers import Guarded
from viiwork_workers.flower_pages import PAGES, OwnFirst, Shown, plainly
from viiwork_workers.stragglers import Stragglers

log = logging.getLogger(__name__)

LOGIN = "FLOWER_BASIC_AUTH"
"""`user:password`. Without it, and `flower.login_file`, it is what `viiwork up` keeps in the state directory."""
USER = "viiwork"
SECRET = "flower.secret"  # noqa: S105 - a file's name
MAX_TASKS = 20_000
"""Hints kept in memory, about 4 kB each."""
LOOK_S = 5.0
"""How often hints that seem unfinished are compared with their jobs."""


class Stranger(RequestHandler):
    """What anybody without the password is told, whatever the address."""

    def check_xsrf_cookie(self) -> None:
        """Nothing is done here that could be forged."""

    def prepare(self) -> None:
        self.set_status(401)
        self.set_header("WWW-Authenticate", 'Basic realm="viiwork", charset="UTF-8"')
        self.finish("Flower needs its user and password; `viiwork up` says where they are.\n")


class Page(Flower):  # type: ignore[misc] # flower is untyped
    """Flower behind one door, with the fleet's own figures."""

    def __init__(self, settings: Settings, *, url: str, login: str, store: Store) -> None:
        options.basic_auth = [login]
        options.tasks_columns = "uuid,args,state,exception,worker,received,runtime"
        options.format_task = plainly
        server = broker(url)
        app = make_app(settings, broker_url=server.url, broker_options=server.transport_options)
        events = Ear(app, IOLoop.current(), max_tasks=MAX_TASKS)
        templates = OwnFirst(site["template_path"])
        super().__init__(capp=app, options=options, events=events, template_loader=templates, **site)
        self._login = login.encode()
        self.store, self.shown = store, Shown(store)
        self.drain_grace_s = settings.queue.drain_grace_s
        self.add_handlers(r".*", PAGES)
        self.add_transform(Guarded)
        self._stragglers = Stragglers(self.events.state, store, patience_s=settings.queue.lease_ttl_s)

    def find_handler(self, request: HTTPServerRequest, **kwargs: Any) -> Any:
        """Flower asks for the password page by page, and forgets `/metrics`, which names every worker."""
        if request.path == "/healthcheck" or self._admits(request.headers.get("Authorization", "")):
            return super().find_handler(request, **kwargs)
        return self.get_handler_delegate(request, Stranger)

    def _admits(self, header: str) -> bool:
        scheme, _, token = header.partition(" ")
        try:
            return scheme.lower() == "basic" and compare_digest(b64decode(token), self._login)
        except (Base64Error, ValueError):
            return False

    def serve(self, *, host: str, port: int) -> None:
        """Listen until SIGTERM or SIGINT. Raises StartupError when the port is not to be had."""
        options.address, options.port = host, port
        try:
            self.start_http_server()
        except OSError as error:
            reason = os.strerror(error.errno) if error.errno else "it cannot be used"
            raise StartupError(f"Flower, port {port} on {host or 'all addresses'}: {reason}.") from error
        look = PeriodicCallback(self._stragglers.look, LOOK_S * 1000)
        look.start()
        for end in (signal.SIGTERM, signal.SIGINT):
            self.io_loop.asyncio_loop.add_signal_handler(end, self.stop)
        self.start()


def login_of(environ: Mapping[str, str], settings: Settings) -> str:
    """`user:password`. Raises SettingsError for one without a password: Flower can cancel jobs and stop workers."""
    login, said = environ.get(LOGIN), LOGIN
    if login is None and settings.flower.login_file is not None:
        login, said = held_in(settings.flower.login_file, "flower.login_file"), "flower.login_file"
    if login is None:
        state = StateDir(settings.state_dir)
        state.prepare()
        return f"{USER}:{state.secret(SECRET)}"
    user, _, password = login.partition(":")
    if not user or not password:
        raise SettingsError(f"{said} must be user:password.", hint="Leave it out to use the state directory's own.")
    return login


def main() -> int:
    """Exit codes: 0 stopped, 2 wrong settings or port, 3 no server."""
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    for noisy in ("tornado.access", "tornado.general", "flower.inspector"):  # wrong addresses, silent workers
        logging.getLogger(noisy).setLevel(logging.CRITICAL)
    try:
        settings = load_settings()
        url = locate(settings)
        page = Page(settings, url=url, login=login_of(os.environ, settings), store=make_store(settings, url))
        page.serve(host=settings.flower.host, port=settings.flower.port)
    except ViiworkError as error:
        print(error, file=sys.stderr)  # noqa: T201
        return error.exit_code
    return 0


if __name__ == "__main__":
    code = main()
    # Threads that wait for a worker's or a lost server's answer would hold the exit up.
    sys.stderr.flush()
    os._exit(code)
