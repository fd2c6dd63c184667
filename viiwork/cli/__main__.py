"""`python -m viiwork.cli` is `viiwork`."""

import sys

from viiwork.cli.main import run

if __name__ == "__main__":
    sys.exit(run(sys.argv[1:]))
