"""A chat template in a process of its own: whatever it does, its owner goes on."""

from __future__ import annotations

import json
import logging

import psutil
import pytest

from model_made import BOS, TEMPLATES, make_tokenizer
from viiwork.documents.prompts import PromptCounter
from viiwork.documents.scribe import MAX_DEATHS, Scribe
from viiwork.documents.template import DEFAULT, ChatTemplate, TemplateRefusal
from viiwork.work import AnalysisTask, ChatInput, TaskOptions

LOOPS = "{% for a in range(99999) %}{% for b in range(99999) %}{% set c = a %}{% endfor %}{% endfor %}"
SPECIALS = {"bos_token": BOS, "eos_token": "<|end|>"}


def chat(*said: str) -> str:
    return json.dumps({"messages": [{"role": "user", "content": text} for text in said]})


def scribe(source: str, *, cpu_s: float = 5.0) -> Scribe:
    return Scribe({DEFAULT: source}, SPECIALS, model="m", cpu_s=cpu_s)


def its_processes() -> list[psutil.Process]:
    return [child for child in psutil.Process().children() if "viiwork.documents.templating" in words_of(child)]


def words_of(process: psutil.Process) -> list[str]:
    """Its command line; none of one that has ended and was not fetched yet."""
    try:
        return list(process.cmdline())
    except psutil.Error:
        return []


@pytest.mark.parametrize("name", list(TEMPLATES))
def test_what_it_writes_is_what_the_template_writes(name: str) -> None:
    """Also what a template refuses; and what cannot be read is nobody else's trouble."""
    chats = [chat("hi"), chat("a", "b"), "[" * 100_000, chat("ü \ud800"), chat("\n\n")]
    here = ChatTemplate({DEFAULT: TEMPLATES[name]}, SPECIALS).write(chats)
    there = scribe(TEMPLATES[name]).write(chats)
    assert here[2] is there[2] is here[3] is there[3] is None
    assert [str(one) for one in here] == [str(one) for one in there]
    assert isinstance(there[1], TemplateRefusal) is (name == "mistral")


@pytest.mark.parametrize(
    "source",
    [
        LOOPS,
        "{% set x = messages[0].content * 1000000000 %}{{ x[:1] }}",
        "{{ 'a' * 3000000000 }}",
        "{% set x = [1] * 300000000 %}ok{{ x[0] }}",
        "{% set x = '%3000000000d' % 1 %}{{ x[0] }}",
        "{% set x = 9 ** 9 ** 9 %}{{ x ** 9999999 }}",
    ],
)
def test_what_takes_too_much_is_ended_and_nobody_waits(source: str) -> None:
    """Neither time nor memory of its owner."""
    assert scribe(source, cpu_s=0.5).write([chat("hi"), chat("ho")]) == [None, None]


def test_one_prompt_that_takes_too_much_spoils_no_other(caplog: pytest.LogCaptureFixture) -> None:
    """A process that was lost is started again; not for ever."""
    before = its_processes()
    source = "{% if messages[0].content == 'bad' %}" + LOOPS + "{% endif %}{{ messages[0].content }}"
    found = scribe(source, cpu_s=0.3)
    for _ in range(MAX_DEATHS - 1):
        assert found.write([chat("bad")]) == [None]
    assert found.write([chat("good")]) == ["good"]
    assert caplog.messages == []
    for _ in range(MAX_DEATHS):
        assert found.write([chat("bad")]) == [None]
    assert found.write([chat("good")]) == [None]
    assert caplog.messages == ["the chat template of m takes too much time or memory: prompts go to it uncounted"]
    assert its_processes() == before


@pytest.mark.parametrize(
    "source",
    [
        "{{ " + "+".join(["x"] * 300) + " }}",
        "{{ x" + "|upper" * 300 + " }}",
        "{% for a in x %}" * 25 + "{% endfor %}" * 25,
        "{% if x %}" * 2000 + "{% endif %}" * 2000,
        "{% for %}",
    ],
)
def test_what_no_program_can_be_made_of_is_said_once(source: str, caplog: pytest.LogCaptureFixture) -> None:
    """Python refuses some of what Jinja takes; its prompts are not counted."""
    found = PromptCounter(make_tokenizer(), scribe(source))
    with caplog.at_level(logging.INFO):
        for _ in range(3):
            said = found.render([ChatInput(messages=[{"role": "user", "content": "hi"}])])
            assert said == [None]
    assert caplog.messages == ["the chat template of m cannot be used: prompts go to it uncounted"]
    assert found.frame(AnalysisTask.SUMMARIZE, TaskOptions()) is None


def test_its_process_ends_with_it() -> None:
    """A model that is served no more leaves nothing behind."""
    before = its_processes()
    found = scribe("x")
    assert found.write([]) == []
    assert its_processes() == before
    assert found.write([chat("hi")]) == ["x"]
    (process,) = [one for one in its_processes() if one not in before]
    del found
    assert not process.is_running()


def test_a_large_prompt_passes_whole() -> None:
    """More than a pipe holds, there and back, in one request with others."""
    large = "the rent " * 500_000
    assert scribe("{{ messages[0].content }}").write([chat(large), chat("x"), chat(large)]) == [large, "x", large]
