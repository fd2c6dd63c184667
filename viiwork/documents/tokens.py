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
FILE = "tokenizer.json"


@lru_cache(maxsize=8)
def load_counter(tokenizer: str) -> TokenCounter:
    """The counter for `wordllama`, or for the path of a `tokenizer.json` or its directory. Raises SettingsError."""
    loaded = load_tokenizer(tokenizer_file(tokenizer))
    return lambda text: len(loaded.encode(text, add_special_tokens=False).ids)


def tokenizer_file(tokenizer: str) -> Path:
    """Where the tokenizer of this name or path is; it need not be there. Raises SettingsError."""
    if tokenizer == WORDLLAMA:
        return _wordllama_path()
    path = Path(tokenizer)
    return path / FILE if path.is_dir() else path


def load_tokenizer(path: Path) -> Tokenizer:
    """The tokenizer in a `tokenizer.json`; it cuts and pads nothing. Raises SettingsError."""
    if not path.is_file():
        raise SettingsError(f"there is no tokenizer file {path}.", hint="Name `wordllama` or a tokenizer.json.")
    try:
        loaded = Tokenizer.from_file(str(path))
    except Exception as error:  # the library raises bare Exception for whatever is wrong with the file
        raise SettingsError(f"{path} is not a tokenizer file.", hint="Name a tokenizer.json.") from error
    loaded.no_truncation()
    loaded.no_padding()
    return loaded


def cut(text: str, most: int, count: TokenCounter) -> str:
    """The beginning of the text that has at most `most` tokens."""
    while (tokens := count(text)) > most:
        text = text[: min(len(text) - 1, int(len(text) * most / tokens))].rstrip()
    return text


def _wordllama_path() -> Path:
    package = find_spec(WORDLLAMA)
    folders = package.submodule_search_locations if package else None
    if not folders:
        raise SettingsError("the package `wordllama` is not installed.", hint="Install viiwork with its dependencies.")
    return Path(folders[0]) / WORDLLAMA_FILE
