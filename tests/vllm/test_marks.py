"""The marks by which an engine's processes are found outlive the titles that vLLM gives them."""

from __future__ import annotations

import os
import subprocess

import pytest

from tests.vllm.conftest import ENVIRONMENT
from viiwork.guardrecord import ENGINE_OF
from viiwork.processes import tagged
from viiwork.recipes.launching import KEEP_MARKS

TITLED = """
import setproctitle, sys
setproctitle.setproctitle("VLLM::EngineCore")
print(flush=True)
sys.stdin.read()
"""


@pytest.mark.parametrize(("keeps", "found"), [(KEEP_MARKS, True), ({}, False)], ids=["as we start it", "as it comes"])
def test_a_titled_process_is_found_by_its_mark(keeps: dict[str, str], found: bool) -> None:
    """The second case says why the first needs its variable: should it fail, the variable can go."""
    env = {"PATH": os.environ["PATH"], ENGINE_OF: "/nowhere:gpu0", **keeps}
    argv = [str(ENVIRONMENT / "bin" / "python"), "-c", TITLED]
    with subprocess.Popen(argv, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        pids = [pid for pid, _ in tagged(ENGINE_OF, "/nowhere:gpu0")]
        process.communicate()
    assert (pids == [process.pid]) == found
