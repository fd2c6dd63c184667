"""The canary: rubbish is found, and nothing else is called rubbish."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from viiwork_workers.engines.guard.canary import verdict

NOISE: list[str] = json.loads((Path(__file__).parent / "canary_samples" / "noise.json").read_text(encoding="utf-8"))
"""What a tiny Llama with random weights answered, mostly at temperature 1: pieces of Python's source."""
SANE = [
    "The sky is blue.",
    "blue",
    "Blau!",
    "4",
    "On a clear day the sky is blue because air scatters short waves of light more than long ones.",
    "<think>\nThe user asks for the colour of the sky. Rayleigh scattering...\n</think>\n\nThe sky is blue.",
    "天空是蓝色的。",
    "السماء زرقاء في يوم صافٍ.",
    "☀️ Blue! 🔵",
    "| colour | sky |\n|--------|-----|\n| blue | day |\n",
    "It is very, very, very blue.",
    "- blue\n- light blue\n- azure\n- sky blue\n",
]
GARBAGE = {
    "NaN logits": "!" * 32,
    "NaN logits, stopped early": "!!!!",
    "NaN logits after a good beginning": "The sky is" + "!" * 22,
    "one token": "sky" * 12,
    "one token with spaces": " the" * 16,
    "one token, cut off": "ющий" * 9 + "ю",
    "two tokens in turn": "0x" * 20,
    "broken bytes": "\ufffd" * 20,
    "mostly broken bytes": "a\ufffd\ufffdb\ufffd\ufffd\ufffdc\ufffd",
    "control characters": "\x00\x01a\x02\x03\x1f b",
    "punctuation alone": '.,;:"){[(.,--',
    "nothing": "",
    "blanks": " \n\t \n",
}


@pytest.mark.parametrize("text", [*SANE, *NOISE])
def test_text_is_let_pass_even_if_it_is_nonsense(text: str) -> None:
    """Whether an answer is right is not the canary's business."""
    assert verdict(text) == ""


@pytest.mark.parametrize("text", GARBAGE.values(), ids=GARBAGE.keys())
def test_what_a_broken_card_writes_is_found_and_told_in_our_own_words(text: str) -> None:
    why = verdict(text)
    assert why
    assert not text.strip() or text.strip() not in why


@pytest.mark.parametrize("noise", NOISE)
def test_garbage_behind_good_text_is_found_once_there_is_more_of_it(noise: str) -> None:
    """NaN spreads: from one token on nothing else comes."""
    assert verdict(noise + "!" * 2 * len(noise) + "!!!!!!!!")


def test_what_is_expected_must_be_there() -> None:
    assert verdict("The sky is Blue.", expect="(?i)blue") == ""
    assert "canary_expect" in verdict("The sky is red.", expect="(?i)blue")


def test_what_is_expected_does_not_excuse_garbage() -> None:
    assert verdict("!" * 30, expect="!")


@pytest.mark.parametrize("expect", ["(", "(?P<a>", "(a|a)*b" * 3 + "(x+x+)+y"])
def test_an_expectation_that_cannot_be_matched_says_so_and_soon(expect: str) -> None:
    """Neither an error nor a wait that looks like a hang."""
    assert "engine.canary_expect" in verdict("x" + "ab" * 20 + "x" * 40 + "sky cat", expect=expect)


def test_a_very_long_answer_costs_no_more_than_its_beginning() -> None:
    """Some engines ignore how much they are asked for."""
    assert verdict("sky is blue, sea is green; " * 100_000)
    assert verdict(("".join(NOISE) * 1000)[:3_000_000]) == ""
