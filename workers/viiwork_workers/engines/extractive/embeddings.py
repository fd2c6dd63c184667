"""Static word vectors from the files inside the `wordllama` wheel; nothing is ever downloaded.

`WordLlama.load()` looks for its tokenizer in `tokenizer/` while the wheel ships `tokenizers/`, and so reaches for the
network; importing the package also puts a handler on the root logger. Both are passed by here: the two files are
opened where they lie, without importing the package.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load_file
from tokenizers import Tokenizer

from viiwork.documents.tokens import WORDLLAMA, WORDLLAMA_FILE
from viiwork.errors import EngineFault

Matrix = NDArray[np.float32]
Vector = NDArray[np.float32]

WEIGHTS_FILE = "weights/l2_supercat_256.safetensors"
SIF_A = 1e-3
"""Weight of a token: a / (a + p). Arora, Liang, Ma: A simple but tough-to-beat baseline, ICLR 2017."""
LONG_CHARACTERS = 10_000
PRIOR_TOKENS = 2000
"""How many tokens of general English the counts of a document are mixed with."""
FIRST_MERGE = 259
"""The first id of a merged token: ids below are control tokens and single bytes."""
_COMMONEST = (
    "the of and to a in that it is was for on as with be by at are this have from or had but not you we they which "
    "were been has their an will would there if can all more so no what when who do does did about into than them "
    "then its our your his her he she i me my us these those such any may shall must should could where how why also"
)
FUNCTION_WORDS = tuple(_COMMONEST.split())
"""Of English, the commonest first."""


@dataclass(frozen=True, slots=True)
class Embedder:
    """Counts tokens, and turns texts to vectors."""

    tokenizer: Tokenizer
    vectors: Matrix
    """One row a token."""
    prior: Vector
    """How often each token is met in English; sums to 1."""

    def count(self, text: str) -> int:
        """How many tokens `text` has."""
        return len(self._ids(text))

    def tokens(self, texts: Sequence[str]) -> list[list[int]]:
        """The token ids of each text."""
        return [self._ids(text) for text in texts]

    def _ids(self, text: str) -> list[int]:
        """One text at a time: a batch takes 0.6 of the time but keeps every core of the machine busy for it."""
        if len(text) < LONG_CHARACTERS:
            return self.tokenizer.encode(text, add_special_tokens=False).ids
        # `encode` keeps the interpreter's lock, 150 ms for 400,000 characters; `encode_batch` lets it go
        return self.tokenizer.encode_batch([text], add_special_tokens=False)[0].ids

    def frequency(self, tokens: Sequence[Sequence[int]]) -> Vector:
        """How often each token is met where `tokens` come from: their counts, mixed with general English."""
        flat = np.fromiter((token for ids in tokens for token in ids), np.int64)
        counts = np.bincount(flat, minlength=len(self.prior)) + PRIOR_TOKENS * self.prior
        share: Vector = (counts / counts.sum()).astype(np.float32)
        return share

    def embed(self, tokens: Sequence[Sequence[int]], *, frequency: Vector | None = None) -> Matrix:
        """The weighted mean of the vectors of each text's tokens: one row of 256 a text, zeros for an empty one."""
        share = self.prior if frequency is None else frequency
        rows = np.zeros((len(tokens), self.vectors.shape[1]), np.float32)
        for place, ids in enumerate(tokens):
            if ids:
                weights = SIF_A / (SIF_A + share[ids])
                rows[place] = weights @ self.vectors[ids] / len(ids)
        return rows


def load_embedder() -> Embedder:
    """The embedder, in about 0.2 s. Raises EngineFault when the packaged files are missing or damaged."""
    try:
        folder = package_folder()
        tokenizer = Tokenizer.from_file(str(folder / WORDLLAMA_FILE))
        vectors = load_file(folder / WEIGHTS_FILE)["embedding.weight"].astype(np.float32)
    # `tokenizers` raises a bare Exception for a file that it cannot read
    except Exception as error:
        raise EngineFault("the word vectors cannot be loaded.", hint="Install the package wordllama again.") from error
    return Embedder(tokenizer=tokenizer, vectors=vectors, prior=english(tokenizer, len(vectors)))


def package_folder() -> Path:
    """Where the package is installed, found without importing it."""
    spec = importlib.util.find_spec(WORDLLAMA)
    if spec is None or not spec.submodule_search_locations:
        raise FileNotFoundError(WORDLLAMA)
    return Path(spec.submodule_search_locations[0])


def english(tokenizer: Tokenizer, vocabulary: int) -> Vector:
    """How often each token is met in English, by Zipf's law over the order in which the tokenizer learned to merge.

    Merges are learned most frequent first, so the id stands in for the rank; the commonest words are put in front.
    """
    rank = np.maximum(np.arange(vocabulary) - FIRST_MERGE, 0) + len(FUNCTION_WORDS) + 1
    for place, word in enumerate(FUNCTION_WORDS, start=1):
        token = tokenizer.token_to_id(f"▁{word}")
        if token is not None:
            rank[token] = place
    inverse = 1.0 / rank
    frequency: Vector = (inverse / inverse.sum()).astype(np.float32)
    return frequency


def unit(rows: Matrix) -> Matrix:
    """Each row at length 1; a row of zeros stays."""
    norms = np.linalg.norm(rows, axis=1, keepdims=True)
    scaled: Matrix = (rows / np.where(norms > 0, norms, 1)).astype(np.float32, copy=False)
    return scaled
