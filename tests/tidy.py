"""`python -m tests.tidy NAME`: a worker that looks every tenth of a second whether it is its turn to sweep blobs."""

from __future__ import annotations

import sys

from viiwork.store import collector
from viiwork_workers.__main__ import main

if __name__ == "__main__":
    collector.LOOK_S, collector.SETTLED_S = 0.1, 0.0
    sys.exit(main())
