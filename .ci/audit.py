"""Known vulnerabilities of the locked dependencies, by pip-audit: `python .ci/audit.py PIP_AUDIT LOCK…`.

Exit code 1 for one that a newer version mends: raise it in the lock. A warning and 0 for one without a mended version,
since nothing can be done but to know of it, and where the list of vulnerabilities cannot be reached.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

PATIENCE_S = 60.0
"""For one lock, which takes some ten seconds: without an answer from outside nobody is to wait longer for a warning."""


def main(pip_audit: str, *locks: str) -> int:
    """Audit each lock; the worst of them counts."""
    return max(audit(pip_audit, lock) for lock in locks)


def audit(pip_audit: str, lock: str) -> int:
    """Print what is found in one lock; answers the exit code."""
    argv = [
        pip_audit,
        "--requirement",
        lock,
        "--require-hashes",
        "--disable-pip",
        "--format",
        "json",
        "--progress-spinner",
        "off",
    ]
    try:
        done = subprocess.run(argv, capture_output=True, text=True, timeout=PATIENCE_S, check=False)  # noqa: S603
        found = json.loads(done.stdout)["dependencies"]
    except (OSError, subprocess.TimeoutExpired, ValueError, KeyError) as error:
        print(f"audit: WARNING: {lock} could not be checked ({type(error).__name__}); offline?")  # noqa: T201
        return 0
    lines, code = verdict(found)
    print("\n".join([f"audit: {lock}: {len(found)} packages, {len(lines)} known vulnerabilities", *lines]))  # noqa: T201
    return code


def verdict(found: Iterable[Mapping[str, Any]]) -> tuple[Sequence[str], int]:
    """A line for each vulnerability, and the exit code. Pure."""
    lines, code = [], 0
    for package in found:
        for each in package.get("vulns", ()):
            mended = ", ".join(each.get("fix_versions", ()))
            code = 1 if mended else code
            told = f"mended in {mended}" if mended else "WARNING: not mended yet"
            lines.append(f"  {package['name']} {package['version']}: {each['id']}, {told}")
    return lines, code


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
