"""`python -m tests.paced NAME`: a worker whose engine's guard makes no pauses and counts no death as a quick one."""

from __future__ import annotations

import sys

from viiwork_workers.__main__ import main
from viiwork_workers.engines.guard import link as guard_link

if __name__ == "__main__":
    guard_link.GUARD += ("--pace", "0")  # type: ignore[assignment] # it has grown
    sys.exit(main())
