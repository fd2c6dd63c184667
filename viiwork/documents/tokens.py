"""The seam to tokenizers: exact token counts with the served model's own."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

from tokenizers import Tokenizer

from viiwork.errors import SettingsError

TokenCounter = Callable[[str], int]
"""How many tokens a text has, special tokens not counted."""

WORDLLAMA = "wordllama"
WORDLLAMA_FILE = "tokenizers/l2_supercat_tokenizer_config.json"
"""Inside the installed package, which is not imported for it: that takes long and changes the root logger."""


@lru_cache(maxsize=8)
def load_counter(tokenizer: str) -> TokenCounter:
    """The counter for `wordllama` or for the path of a `tokenizer.json`. Raises SettingsError."""
    path = _wordllama_path() if tokenizer == WORDLLAMA else Path(tokenizer)
    if not path.is_file():
        raise SettingsError(f"there is no tokenizer file {path}.", hint="Name `wordllama` or a tokenizer.json.")
    try:
        loaded = Tokenizer.from_file(str(path))
    except Exception as error:  # the library raises bare Exception for whatever is wrong with the file
        raise SettingsError(f"{path} is not a tokenizer file.", hint="Name a tokenizer.json.") from error
    loaded.no_truncation()
    loaded.no_padding()
    return lambda text: len(loaded.encode(text, add_special_tokens=False).ids)


def _wordllama_path() -> Path:
    package = find_spec(WORDLLAMA)
    folders = package.submodule_search_locations if package else None
    if not folders:
        raise SettingsError("the package `wordllama` is not installed.", hint="Install viiwork with its dependencies.")
    return Path(folders[0]) / WORDLLAMA_FILE
