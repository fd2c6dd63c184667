"""A task in one's own words, and jobs that do not fit: by command, by client and by HTTP."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from model_made import make_model
from service import Service
from standin import MODEL, Listener, StandIn
from viiwork.cli.main import run
from viiwork.cli.progress import doing
from viiwork.client import Client
from viiwork.errors import UsageError
from viiwork.jobs import BatchStatus, Counts
from viiwork.multipart import TextDocument
from viiwork.work import AnalysisTask, CompletionInput, EmbeddingInput, StepInput, TaskOptions

Cli = Callable[..., tuple[int, str, str]]
LIST = "List all dates."


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
    (tmp_path / "a.txt").write_text("Signed on May 2.")
    (tmp_path / "prompt.txt").write_text(f"\ufeff{LIST}\n", encoding="utf-8")
    (tmp_path / "empty.txt").write_text(" \n")

    def call(*arguments: object) -> tuple[int, str, str]:
        code = run([str(argument) for argument in arguments])
        said = capfd.readouterr()
        return code, said.out, said.err

    return call


def asked(service: Service) -> list[Any]:
    """What the engine was asked, once all that waits has run."""
    listener = service.worker
    assert isinstance(listener, Listener)
    service.run(listener.work())
    return listener.asked


class TestCommand:
    @pytest.mark.parametrize(
        "flags", [("--prompt", LIST), ("--task", "prompt", "--prompt", LIST), ("--prompt-file", "prompt.txt")]
    )
    def test_a_prompt_alone_means_the_task(self, service: Service, cli: Cli, flags: tuple[str, ...]) -> None:
        """From the flag or from a file, whose mark of UTF-8 is none of it."""
        code, _, err = cli("analyze", "a.txt", "--no-wait", *flags)
        assert code == 0, err
        (step,) = asked(service)
        assert isinstance(step, StepInput)
        assert (step.task, step.options.prompt) == (AnalysisTask.PROMPT, LIST)
        assert "May 2" in step.text

    @pytest.mark.parametrize(
        ("flags", "reason"),
        [
            (("--task", "prompt"), "--prompt: prompt needs a prompt. Say what to do with each document."),
            (("--prompt", " "), "--prompt: prompt needs a prompt"),
            (("--prompt", LIST, "--question", "Who?"), "--task: say whether to ask or follow the prompt."),
            (("--prompt", LIST, "--labels", "a,b"), "--task: say whether to classify or follow the prompt."),
            (
                ("--task", "summarize", "--prompt", LIST),
                "--prompt: prompt means nothing for summarize. The task prompt",
            ),
            (("--task", "summarize", "--prompt-file", "prompt.txt"), "--prompt-file: prompt means nothing for"),
            (
                ("--task", "prompt", "--prompt", LIST, "--question", "x"),
                "--question: question means nothing for prompt",
            ),
            (("--prompt", LIST, "--prompt-file", "prompt.txt"), "--prompt-file: has no place beside --prompt"),
            (("--prompt-file", "empty.txt"), "empty.txt: there is no prompt in it"),
            (("--prompt-file", "nowhere.txt"), "nowhere.txt: no such file or directory"),
            (("--prompt", "x" * 16_001), "--prompt: the prompt has 16,001 characters; 16,000 are allowed"),
        ],
    )
    def test_what_does_not_go_together_is_one_line(self, cli: Cli, flags: tuple[str, ...], reason: str) -> None:
        """Before anything is sent: there is no service."""
        code, out, err = cli("analyze", "a.txt", *flags)
        assert (code, out, len(err.splitlines())) == (2, "", 1)
        assert reason in err

    def test_a_line_that_does_not_fit_is_named(self, service: Service, cli: Cli, tmp_path: Path) -> None:
        """By the service, while the file comes; a wrong field, before it is sent."""
        model = make_model(tmp_path / "model")
        narrow = StandIn(service.store, context_tokens=100)
        narrow._card = narrow._card.model_copy(update={"tokenizer": str(model)})
        service.run(narrow.join())
        short, long = {"prompt": "x", "max_output_tokens": 9}, {"prompt": " the" * 200, "max_output_tokens": 9}
        jobs = tmp_path / "jobs.jsonl"
        jobs.write_text("".join(json.dumps(one) + "\n" for one in (short, short, long)))
        code, out, err = cli("submit", jobs)
        assert (code, out) == (2, "")
        assert f"line 3: prompt: the prompt has 201 tokens and the answer may take 9; {MODEL} takes 100." in err
        jobs.write_text(json.dumps({"prompt": "x", "regex": "(a"}) + "\n")
        code, _, err = cli("submit", jobs)
        assert (code, f"{jobs}:1: regex: " in err) == (2, True)

    def test_jobs_are_not_said_to_be_analysed(self) -> None:
        """Only documents are."""
        status = BatchStatus(
            id="an_1", state="running", tenant="t", lane="batch", model="m", task="jobs", counts=Counts(), created_ms=0
        )
        assert doing(status) == "jobs"
        assert doing(status.model_copy(update={"task": "prompt"})) == "analysing"


class TestHttp:
    def test_a_form_and_json_take_it_alike(self, service: Service) -> None:
        """And refuse it beside another task."""
        url = f"{service.url}/v1/analyses"
        form = {"task": (None, "prompt"), "prompt": (None, LIST), "files": ("a.txt", b"Signed on May 2.")}
        assert httpx.post(url, files=form).status_code == 202  # type: ignore[arg-type]  # a file without a name is a field
        body = {"task": "prompt", "options": {"prompt": LIST}, "documents": [{"text": "Signed on May 2."}]}
        assert httpx.post(url, json=body).status_code == 202
        assert [step.options for step in asked(service)] == [TaskOptions(prompt=LIST)] * 2
        wrong = httpx.post(url, json=body | {"task": "summarize"})
        assert (wrong.status_code, wrong.json()["error"]["param"]) == (400, "prompt")


class TestClient:
    def test_an_analysis_by_prompt(self, service: Service) -> None:
        """As the other tasks."""
        with Client(service.url) as client:
            client.analyze([TextDocument("Signed on May 2.")], task="prompt", prompt=LIST, max_output_tokens=9)
        (step,) = asked(service)
        assert step.options == TaskOptions(prompt=LIST, max_output_tokens=9)

    def test_completions_and_vectors_without_naming_the_model(self, service: Service) -> None:
        """The only one that is served."""
        with Client(service.url) as client:
            client.submit_job(prompt="Once", stop="END")
            client.submit_job(input=("a", "b"), dimensions=8)
            with pytest.raises(UsageError, match="messages: this field is required"):
                client.submit_job()
        completion, vectors = asked(service)
        assert isinstance(completion, CompletionInput)
        assert completion.sampling.stop == ("END",)
        assert vectors == EmbeddingInput(texts=("a", "b"), dimensions=8)
