"""Documents to fields: by command, by client and by HTTP; what cannot be done is said before anything is sent."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import BaseModel

from service import Service
from standin import Listener
from test_abilities import served
from viiwork.api.work import Order
from viiwork.cli.main import run
from viiwork.client import Client
from viiwork.jobs import Lane
from viiwork.multipart import TextDocument
from viiwork.schema import TASKS, schema_of
from viiwork.work import AnalysisTask, MergeInput, StepInput, TaskOptions
from viiwork_workers.engines.extractive.engine import CANNOT as EXTRACTIVE

Cli = Callable[..., tuple[int, str, str]]
RENT = {"type": "object", "properties": {"rent": {"type": "integer"}, "from": {"type": "string", "format": "date"}}}
BODY = {"task": "extract", "documents": [{"text": "The rent is 900."}]}


class Lease(BaseModel):
    """As a client may give it."""

    rent: int


@pytest.fixture
def service(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Service]:
    with Service(tmp_path / "state", idle=True) as running:
        monkeypatch.setenv("VIIWORK_URL", running.url)
        running.worker = Listener(running.store)
        yield running


@pytest.fixture
def cli(capfd: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cli:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "no-fleet"))
    (tmp_path / "a.txt").write_text("The rent is 900.")
    (tmp_path / "rent.json").write_text(f"\ufeff{json.dumps(RENT)}", encoding="utf-8")
    (tmp_path / "torn.json").write_text('{\n"type": "object",\n')
    (tmp_path / "list.json").write_text("[]")
    (tmp_path / "deep.json").write_text("[" * 100_000)
    unheld = {"type": "object", "properties": {"tags": {"type": "array", "items": {}, "uniqueItems": True}}}
    (tmp_path / "unheld.json").write_text(json.dumps(unheld))

    def call(*arguments: object) -> tuple[int, str, str]:
        code = run([str(argument) for argument in arguments])
        said = capfd.readouterr()
        return code, said.out, said.err

    return call


def asked(service: Service) -> list[StepInput]:
    """What the engine was asked, once all that waits has run."""
    listener = service.worker
    assert isinstance(listener, Listener)
    service.run(listener.work())
    return listener.asked


def test_a_schema_alone_means_the_task_and_keeps_its_order(service: Service, cli: Cli) -> None:
    """Engines write the fields in that order; an answer may be longer than other tasks' without being told."""
    code, _, err = cli("analyze", "a.txt", "--no-wait", "--schema", "rent.json", "--no-quotes")
    assert code == 0, err
    (step,) = asked(service)
    assert step.task is AnalysisTask.EXTRACT
    assert json.dumps(step.options.json_schema) == json.dumps(RENT)
    assert (step.options.quotes, step.options.max_output_tokens) == (False, 1024)


@pytest.mark.parametrize(
    ("flags", "reason"),
    [
        (("--task", "extract"), "--schema: extract needs a schema. Say as a JSON schema which fields to look for."),
        (
            ("--schema", "unheld.json"),
            "--schema: /properties/tags/uniqueItems: engines ignore it, and nothing would say so",
        ),
        (("--schema", "torn.json"), "torn.json:3: is no JSON"),
        (("--schema", "list.json"), "list.json: is no JSON schema of an object"),
        (("--schema", "deep.json"), "deep.json: is nested too deep"),
        (("--schema", "none.json"), "none.json: no such file or directory"),
        (("--schema", "rent.json", "--question", "Who?"), "--task: say whether to ask or extract."),
        (("--schema", "rent.json", "--task", "summarize"), "--schema: schema means nothing for summarize"),
    ],
)
def test_what_cannot_be_done_is_one_line(cli: Cli, flags: tuple[str, ...], reason: str) -> None:
    """Before anything is sent: there is no service."""
    code, out, err = cli("analyze", "a.txt", *flags)
    assert (code, out, len(err.splitlines())) == (2, "", 1)
    assert reason in err


def test_forms_json_and_models_of_pydantic_are_taken_alike(service: Service) -> None:
    """By HTTP in both forms, and from Python."""
    url = f"{service.url}/v1/analyses"
    schema = Lease.model_json_schema()
    form = {"task": (None, "extract"), "schema": (None, json.dumps(schema)), "files": ("a.txt", b"The rent is 900.")}
    assert httpx.post(url, files=form).status_code == 202  # type: ignore[arg-type]  # a file without a name is a field
    assert httpx.post(url, json=BODY | {"options": {"schema": schema}}).status_code == 202
    with Client(service.url) as client:
        client.analyze([TextDocument("The rent is 900.")], task="extract", schema=Lease)
    assert [step.options.json_schema for step in asked(service)] == [schema] * 3


def test_a_schema_that_cannot_be_held_to_is_named_by_its_place(service: Service) -> None:
    wrong = {"type": "object", "properties": {"a": {"type": "string", "pattern": "a", "maxLength": 3}}}
    said = httpx.post(f"{service.url}/v1/analyses", json=BODY | {"options": {"schema": wrong}})
    assert (said.status_code, said.json()["error"]["param"]) == (400, "schema.properties.a.maxLength")
    assert said.json()["error"]["code"] == "invalid_shape"


async def test_an_engine_that_picks_sentences_is_not_asked_to_fill_a_schema(tmp_path: Path) -> None:
    """Said at submit, with what to do instead."""
    async with served(tmp_path, EXTRACTIVE) as http:
        said = await http.post("/v1/analyses", json=BODY | {"options": {"schema": RENT}})
    error = said.json()["error"]
    assert (said.status_code, error["param"], error["code"]) == (400, "task", "unsupported_task")
    assert "cannot fill a schema" in error["message"]
    assert "serve a language model" in error["message"]


def test_workers_of_the_version_before_leave_extractions_alone() -> None:
    """They would fail the task, and drop a schema without a word; what they know they go on taking."""
    options = TaskOptions(json_schema=RENT)
    asked = StepInput(task=AnalysisTask.EXTRACT, options=options, text="x")
    assert schema_of(asked) == schema_of(MergeInput(parts=(), task=asked.task, options=options, model="m")) == TASKS
    known = StepInput(task=AnalysisTask.SUMMARIZE, text="x", start=900)
    assert schema_of(known) == 1


def test_an_option_that_nobody_used_makes_no_other_request_of_an_old_one() -> None:
    """An Idempotency-Key is good for a day, and the service may be upgraded in it."""

    def said(**options: Any) -> Any:
        made = TaskOptions(question="Why?", **options)
        return Order(AnalysisTask.ASK, made, Lane.BATCH, "m", None, ()).canonical()[1]

    assert said() == {"labels": [], "question": "Why?", "prompt": "", "max_output_tokens": 256}
    assert said(json_schema=RENT)["json_schema"] == RENT
