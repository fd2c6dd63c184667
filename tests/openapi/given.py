"""Things that a service has, so that there is something to ask for: jobs, analyses, dead letters, endpoints."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import httpx

from tests.front import MODEL

WITHIN_S = 60.0
JOB = {"messages": [{"role": "user", "content": "Name a river."}], "max_output_tokens": 8}
DEADLY = {"messages": [{"role": "user", "content": "[[500]] Name a river."}], "max_output_tokens": 8}
"""The fake engine fails at it each time."""
SUBMITTER = {"x-viiwork-submitter": "anna@lab"}


def given(url: str, headers: Mapping[str, str] = SUBMITTER) -> dict[str, list[str]]:
    """Their ids, by the names that paths have for them: those of the first half may be ended or deleted."""
    with httpx.Client(base_url=url, headers=headers, timeout=60, trust_env=False) as http:
        jobs = [_post(http, "/v1/jobs?wait=30", JOB)["id"] for _ in range(3)]
        dead = [_post(http, "/v1/jobs", DEADLY | {"lane": "batch"})["id"] for _ in range(6)]
        ended = [_analysis(http, text) for text in ("A river flows. " * 20, "", "[[500]] It fails. " * 5) * 2]
        paused = [_paused(http) for _ in range(6)]
        hook = {"url": "https://receiver.invalid/hook"}
        endpoints = [
            _post(http, "/v1/callbacks/endpoints", hook | {"url": f"{hook['url']}/{n}"})["endpoint"]["id"]
            for n in range(4)
        ]
        _until(http, dead)
    return {
        "job_id": [*dead[:3], *jobs, *dead[3:]],
        "analysis_id": [*ended[:3], *paused, *ended[3:]],
        "endpoint_id": endpoints,
        "model_id": [MODEL],
    }


def _paused(http: httpx.Client) -> str:
    """One that does not end by itself; where it did before it could be paused, another."""
    until_s = time.monotonic() + WITHIN_S
    while True:
        started = _post(http, "/v1/analyses", _asked("A lake lies. " * 2_000))["id"]
        if http.post(f"/v1/analyses/{started}/pause").is_success:
            return str(started)
        assert time.monotonic() < until_s


def _asked(text: str) -> dict[str, Any]:
    return {"task": "summarize", "documents": [{"text": text, "name": "one"}, {"text": f"{text} Two."}]}


def _analysis(http: httpx.Client, text: str) -> str:
    started = _post(http, "/v1/analyses", _asked(text))["id"]
    until_s = time.monotonic() + WITHIN_S
    while http.get(f"/v1/analyses/{started}").json()["state"] == "running":
        assert time.monotonic() < until_s
        time.sleep(0.02)
    return str(started)


def _until(http: httpx.Client, dead: list[str]) -> None:
    until_s = time.monotonic() + WITHIN_S
    while any(http.get(f"/v1/jobs/{each}").json()["state"] != "dead" for each in dead):
        assert time.monotonic() < until_s
        time.sleep(0.05)


def _post(http: httpx.Client, path: str, body: dict[str, Any]) -> Any:
    answer = http.post(path, json=body)
    assert answer.is_success, answer.text
    return answer.json()
