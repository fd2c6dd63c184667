"""`python -m viiwork_workers NAME` runs one worker: `gpu0`, `cpu0`, `reader0`, …"""

from __future__ import annotations

import logging
import os
import re
import sys

from viiwork.errors import ViiworkError
from viiwork.settings import load_settings
from viiwork.variables import passed_over
from viiwork_workers.app import compose, worker_argv
from viiwork_workers.ending import Ending
from viiwork_workers.seldom import Seldom

NAME = re.compile(r"^(gpu|cpu|reader)\d{1,3}(\+gpu\d{1,3})*$")


def main() -> int:
    """Exit codes: 0 drained, 1 could not start, 2 wrong name or settings, 3 no server."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s", stream=sys.stderr)
    for noisy in ("celery", "kombu", "celery.redirected"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    for repetitive in ("celery.worker.consumer.consumer", "viiwork_workers.lease", "viiwork_workers.drops"):
        logging.getLogger(repetitive).addFilter(Seldom())
    by_the_job = Seldom(at_once=50)
    for naming_a_job in ("viiwork_workers.execute", "viiwork_workers.outcome", "viiwork_workers.commits"):
        logging.getLogger(naming_a_job).addFilter(by_the_job)
    if len(sys.argv) != 2 or not NAME.match(sys.argv[1]):
        print("usage: python -m viiwork_workers NAME, where NAME is gpu0, cpu0, reader0, …", file=sys.stderr)  # noqa: T201
        return 2
    for line in passed_over(os.environ):
        logging.getLogger("viiwork_workers").warning(line)
    try:
        settings = load_settings()
        app = compose(settings, sys.argv[1])
    except ViiworkError as error:
        print(error, file=sys.stderr)  # noqa: T201
        return error.exit_code
    # The interpreter's own `-m` line is all that `ps` shows: no address, no password.
    os.environ["VIIWORK_WORKER_NAME"] = sys.argv[1]
    try:
        app.worker_main(worker_argv(sys.argv[1], host=settings.host))
    finally:
        Ending.over()
    return 0


if __name__ == "__main__":
    sys.exit(main())
