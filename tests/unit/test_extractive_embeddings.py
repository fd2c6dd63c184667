"""The word vectors come from the installed package alone."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from viiwork_workers.engines.extractive.embeddings import Embedder, load_embedder, unit
from viiwork_workers.engines.extractive.ranking import bm25, cosine, lexrank, stem, z_scores

OFFLINE = """
import logging, socket, sys
def refuse(*args, **kwargs): raise AssertionError("the network was used")
socket.socket.connect = socket.create_connection = socket.getaddrinfo = refuse
from viiwork_workers.engines.extractive.embeddings import load_embedder
assert load_embedder().count("one two three") == 3
assert "wordllama" not in sys.modules and "requests" not in sys.modules
assert not logging.getLogger().handlers
"""


@pytest.fixture(scope="module")
def embedder() -> Embedder:
    return load_embedder()


def test_they_load_without_the_network_and_leave_logging_alone() -> None:
    """`WordLlama.load()` would look for a download, and importing its package changes the root logger."""
    subprocess.run([sys.executable, "-W", "error", "-c", OFFLINE], check=True, timeout=60)


def test_texts_about_the_same_thing_lie_nearer_than_others(embedder: Embedder) -> None:
    """The least that embeddings must do."""
    rows = embedder.embed(
        embedder.tokens(["The lease ends in June.", "The rental contract expires.", "Boil the pasta."])
    )
    near = cosine(rows[1:], rows[:1])
    assert near[0] > near[1] + 0.1


def test_common_words_weigh_little(embedder: Embedder) -> None:
    """SIF: "the" adds next to nothing to a text about valves."""
    rows = embedder.embed(embedder.tokens(["valves", "the of and the valves"]))
    assert cosine(rows[1:], rows[:1])[0] > 0.9


def test_an_empty_text_has_a_vector_of_zeros(embedder: Embedder) -> None:
    """And no division by zero comes of it."""
    rows = embedder.embed(embedder.tokens(["", "valve"]))
    assert not rows[0].any()
    assert np.isfinite(unit(rows)).all()


def test_the_counts_of_a_document_shift_its_frequencies(embedder: Embedder) -> None:
    """A word that stands in every sentence of a document tells its sentences apart no more."""
    tokens = embedder.tokens(["valve " * 500])
    valve = tokens[0][0]
    frequency = embedder.frequency(tokens)
    assert frequency[valve] > 10 * embedder.prior[valve]
    assert float(frequency.sum()) == pytest.approx(1.0, abs=1e-3)


def test_bm25_prefers_the_text_with_the_rare_word() -> None:
    """And gives nothing to a text without any of the words."""
    scores = bm25(["deposit", "pay"], [["pay", "rent"], ["deposit", "pay"], ["pay"], ["door"]])
    assert scores.argmax() == 1
    assert scores[3] == 0


def test_lexrank_finds_the_row_in_the_middle() -> None:
    """Of three rows, the one that is like both others."""
    rows = np.array([[1, 0], [1, 1], [0, 1]], dtype=np.float32)
    rank = lexrank(rows)
    assert rank.argmax() == 1
    assert float(rank.sum()) == pytest.approx(1.0)


def test_degenerate_input_gives_scores_and_no_warning() -> None:
    """No texts, one text, rows of zeros."""
    assert lexrank(np.zeros((0, 4), np.float32)).size == 0
    assert np.isfinite(lexrank(np.zeros((3, 4), np.float32))).all()
    assert bm25(["a"], []).size == 0
    assert bm25([], [["a"]]).tolist() == [0.0]
    assert z_scores(np.array([2.0, 2.0])).tolist() == [0.0, 0.0]


def test_inflections_share_a_stem() -> None:
    """So that a question about payment finds what is paid by payments."""
    assert stem("payments") == stem("payment") == stem("paying")
    assert stem("gas") == "gas"
