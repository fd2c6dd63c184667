"""`python -m viiwork_workers.engines.guard`."""

import os
import sys

from viiwork_workers.engines.guard.process import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], os.environ))
