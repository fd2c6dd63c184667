"""How often an engine is asked before it is called broken, and what its answers come to together."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from tests.fakes.http import Connection, Reply, Request
from viiwork.recipes import Launch
from viiwork_workers.engines.guard.canary import QUESTIONS
from viiwork_workers.engines.guard.probe import Probe
from viiwork_workers.engines.guard.verdict import Canary

SKY = "The sky is blue."
BLANKS = "\n\n______________________________\n\n______________"
NAN = "!" * 32


def said(text: str | None, finish: str = "stop") -> tuple[int, dict[str, Any]]:
    return 200, {"choices": [{"message": {"content": text}, "text": text, "finish_reason": finish}]}


async def asked(*answers: tuple[int, Any], expect: str = "") -> tuple[Canary, list[dict[str, Any]]]:
    """What comes of a canary that is answered so, one question after the other; and the questions."""
    heard: list[dict[str, Any]] = []

    async def answer(request: Request, reply: Reply) -> None:
        heard.append(request.json())
        status, body = answers[len(heard) - 1]
        reply.send(status, body)

    server = await asyncio.get_running_loop().create_server(lambda: Connection(answer), "127.0.0.1", 0)
    async with server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        probe = Probe(Launch(worker="gpu0", title="small", alias="small", expect=expect), url, "k")
        canary = await probe.canary(timeout_s=60.0)
        await probe.close()
    assert len(heard) == len(answers)
    return canary, heard


async def test_a_good_answer_is_asked_for_once() -> None:
    canary, _ = await asked(said(SKY))
    assert canary.sense == "sane"


@pytest.mark.parametrize("odd", [said(""), said(None, "length"), said(BLANKS), said(NAN), (200, {"choices": []})])
async def test_after_an_odd_answer_something_else_is_asked(odd: tuple[int, Any]) -> None:
    """With another seed, and as the model is surest; what it says then counts."""
    canary, heard = await asked(odd, said(SKY))
    assert canary.sense == "sane"
    assert [json.dumps(one.get("messages")) != "null" for one in heard] == [True, True]
    assert heard[0]["messages"] != heard[1]["messages"]
    assert heard[0]["seed"] != heard[1]["seed"]
    assert heard[1]["temperature"] == 0


async def test_a_model_that_fills_in_forms_is_given_a_text_to_go_on_with() -> None:
    canary, heard = await asked(said(BLANKS), said(BLANKS), said(" light is scattered."))
    assert canary.sense == "sane"
    assert heard[2]["prompt"] == QUESTIONS[2].prompt


async def test_a_card_that_computes_rubbish_answers_everything_with_it() -> None:
    canary, _ = await asked(said(NAN), said(NAN), said(NAN))
    assert canary.sense == "garbage"


@pytest.mark.parametrize(("thoughts", "sense"), [(said("", "length"), "sane"), (said("", "stop"), "garbage")])
async def test_a_server_that_shows_no_thoughts_and_completes_no_texts_is_believed(
    thoughts: tuple[int, Any], sense: str
) -> None:
    """It wrote as much as it was asked for. One that ends at once each time has not."""
    canary, _ = await asked(thoughts, thoughts, (404, {}))
    assert canary.sense == sense


async def test_thoughts_that_are_not_shown_are_looked_at_where_texts_are_completed() -> None:
    """Token 0 is no text in some tokenizers: nothing comes of NaN there but emptiness."""
    hidden = said("", "length")
    assert (await asked(hidden, hidden, said("", "length")))[0].sense == "garbage"
    assert (await asked(hidden, hidden, said(" air scatters it")))[0].sense == "sane"


async def test_what_must_be_in_the_answer_must_be_in_one_of_two() -> None:
    red = said("The sky is red.")
    assert (await asked(red, said(SKY), expect="blue"))[0].sense == "sane"
    assert (await asked(red, red, expect="blue"))[0].sense == "garbage"


async def test_no_answer_after_an_odd_one_settles_nothing() -> None:
    assert (await asked(said(NAN), (429, {})))[0].sense == "unsure"
    assert (await asked((429, {})))[0].sense == "silent"
