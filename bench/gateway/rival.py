"""LiteLLM's proxy, as its own documents tell to run it in production: the path in memory that ours stands beside."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import distributions
from urllib.error import URLError
from urllib.request import ProxyHandler, build_opener

from bench.gateway.processes import process
from bench.machine import ROOT
from bench.rig import Rig, Worker
from viiwork.errors import StartupError, Unavailable

PLACE = ROOT / ".venv-clients"
START_S = 120.0
QUIET = {
    "LITELLM_MODE": "PRODUCTION",
    "LITELLM_LOG": "ERROR",
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",  # else it asks GitHub for prices when it starts
    "DO_NOT_TRACK": "1",
    "NO_DOCS": "True",
    "LITELLM_DANGEROUSLY_PERMIT_WEAK_OR_UNSET_MASTER_KEY": "true",  # no keys, as ours on loopback
}


@contextmanager
def litellm_proxy(rig: Rig, engine_url: str, *, model: str) -> Iterator[tuple[Worker, str]]:
    """One process of it before the engine, without what costs, and its address. Raises StartupError."""
    program = PLACE / "bin" / "litellm"
    if not program.is_file():
        raise StartupError("there is no LiteLLM to stand beside.", hint="Run `make clients`.")
    port = _free_port()
    config = rig.settings.state_dir / f"litellm-{port}.yaml"
    config.write_text(json.dumps(_config(engine_url, model)), "utf-8")  # JSON is YAML too
    argv = [str(program), "--config", str(config), "--host", "127.0.0.1", "--port", str(port), "--num_workers", "1"]
    environ = QUIET | {"PATH": f"{PLACE / 'bin'}:/usr/local/bin:/usr/bin:/bin", "PYTHONPATH": "", "VIRTUAL_ENV": ""}
    with process(rig, f"litellm-{port}", argv, env=environ) as proxy:
        url = f"http://127.0.0.1:{port}"
        _await(proxy, f"{url}/health/liveliness")
        yield proxy, url


def version() -> str:
    """Of the LiteLLM in its environment."""
    found = distributions(name="litellm", path=[str(path) for path in PLACE.glob("lib/python3*/site-packages")])
    return next((one.version for one in found), "unknown")


def _config(engine_url: str, model: str) -> dict[str, object]:
    params = {"model": f"openai/{model}", "api_base": f"{engine_url}/v1", "api_key": "none"}
    return {
        "model_list": [{"model_name": model, "litellm_params": params}],
        "litellm_settings": {"set_verbose": False, "telemetry": False, "num_retries": 0, "request_timeout": 60},
        "general_settings": {"disable_spend_logs": True, "disable_error_logs": True, "background_health_checks": False},
    }


def _await(proxy: Worker, page: str) -> None:
    opener, end = build_opener(ProxyHandler({})), time.monotonic() + START_S
    while True:
        proxy.check()
        try:
            with opener.open(page, timeout=2):
                return
        except (URLError, OSError):
            if time.monotonic() > end:
                raise Unavailable(f"LiteLLM's proxy does not answer after {START_S:.0f} s.") from None
            time.sleep(0.1)


def _free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])
