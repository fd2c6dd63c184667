"""What an engine writes of requests into its log does not stay there; the words are llama.cpp's and xgrammar's."""

from __future__ import annotations

from pathlib import Path

import pytest

from viiwork_workers.engines.guard.blotting import CHUNK_BYTES, Blotter, blotted
from viiwork_workers.engines.guard.log import EngineLog, turn_over

SECRET = b"Zqxwv9"
OWN = b"2.15.613.312 E failed to parse grammar\n"
GRAMMAR = b'parse: error parsing grammar: expecting newline at Zqxwv9\n\nroot ::= "Zqxwv9"\nspace ::= " "\n\n'
ANSWER = b"2.15.6.1 W common_chat_peg_parse: unparsed peg-native output: {Zqxwv9\nthe lease of Zqxwv9\n"
WARNING = b"WARNING: JSON schema conversion was incomplete: pattern Zqxwv9 is not supported\n"
EXCEPTION = b'2.1.2.3 W srv    operator(): got exception: {"error":{"message":"cannot resolve #/Zqxwv9"}}\n'
XGRAMMAR = b"[14:34:34] /project/cpp/fsm_builder.cc:1311: Warning: ignored in regex: ^(?=Zqxwv9)a$\n"


@pytest.mark.parametrize("told", [GRAMMAR, ANSWER, WARNING, EXCEPTION, XGRAMMAR, XGRAMMAR * 2])
def test_what_tells_of_a_request_is_blotted_out_to_the_engines_next_own_line(told: bytes) -> None:
    """As many bytes in as many lines, so that it can be done in place."""
    clean, within = blotted(OWN + told + OWN)
    assert SECRET not in clean
    assert clean.startswith(OWN)
    assert clean.endswith(OWN)
    assert not within
    assert [len(line) for line in clean.split(b"\n")] == [len(line) for line in (OWN + told + OWN).split(b"\n")]


@pytest.mark.parametrize(
    "own",
    [
        OWN,
        b"srv  update_slots: all slots are idle\n",
        b"slot      release: id  1 | task 3 | stop processing\n",
        b"llama_model_loader: loaded meta data\n",
        b"(APIServer pid=12) INFO 11-22 14:00:00 [launcher.py:10] Route\n",
        b'(APIServer pid=12) INFO:     127.0.0.1:33000 - "POST /v1/chat/completions HTTP/1.1" 200 OK\n',
        b"ERROR:    Exception in ASGI application\n",
    ],
)
def test_a_passage_ends_where_the_engine_speaks_for_itself(own: bytes) -> None:
    """llama.cpp of today and of before, and vLLM."""
    assert blotted(GRAMMAR + own)[0].endswith(own)


@pytest.mark.parametrize(
    "text", [b"ERROR: Zqxwv9 is late\nZqxwv9\n", b"INFO: Zqxwv9\n", b"the bill\rmain: Zqxwv9\nZqxwv9\n"]
)
def test_a_document_that_reads_as_a_log_is_blotted_too(text: bytes) -> None:
    """An answer may quote one, and its lines may end as those of old files do."""
    clean, within = blotted(ANSWER + text)
    assert SECRET not in clean
    assert within


def test_a_line_that_tells_of_nobody_stays() -> None:
    told = OWN + b"ValueError: no such model\n  at line 3\n"
    assert blotted(told) == (told, False)


@pytest.mark.parametrize("cut", range(0, len(GRAMMAR + ANSWER), 7))
def test_a_log_is_blotted_as_it_grows(tmp_path: Path, cut: int) -> None:
    """Wherever the guard happens to look, once the line has ended."""
    path, whole = tmp_path / "engine.log", GRAMMAR + ANSWER + OWN
    path.touch()
    blotter = Blotter(path)
    with path.open("ab", buffering=0) as engine:
        for part in (whole[:cut], whole[cut:]):
            engine.write(part)
            blotter.follow()
    assert path.read_bytes() == blotted(whole)[0]
    assert SECRET not in path.read_bytes()


def test_a_line_without_an_end_holds_nothing_up(tmp_path: Path) -> None:
    path = tmp_path / "engine.log"
    path.write_bytes(b"x" * (CHUNK_BYTES + 5) + b"\n" + WARNING)
    Blotter(path).follow()
    assert SECRET not in path.read_bytes()


def test_a_log_that_was_emptied_is_followed_from_its_beginning(tmp_path: Path) -> None:
    path = tmp_path / "engine.log"
    path.write_bytes(GRAMMAR)
    blotter = Blotter(path)
    blotter.follow()
    path.write_bytes(OWN)
    blotter.follow()
    assert path.read_bytes() == OWN


def test_what_an_earlier_guard_did_not_come_to_is_blotted_by_the_next(tmp_path: Path) -> None:
    path = tmp_path / "engine.log"
    path.write_bytes(WARNING)
    EngineLog(path).look()
    assert SECRET not in path.read_bytes()


def test_the_older_copy_holds_no_more_than_the_log(tmp_path: Path) -> None:
    path = tmp_path / "engine.log"
    path.write_bytes(WARNING)
    turn_over(path)
    assert SECRET not in path.with_name("engine.log.1").read_bytes()
