"""What models are called: `NAME[@REVISION]`, where they lie, and which file names of a hub may be used. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass

from viiwork.errors import UsageError

DEFAULT_REVISION = "main"
COMMIT = re.compile(r"[0-9a-f]{40}")
PART = r"[A-Za-z0-9][A-Za-z0-9._-]{0,95}"
NAME = re.compile(rf"{PART}(?:/{PART})?")
REVISION = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/+-]{0,254}")
NOT_IN_NAMES = frozenset('\\:*?"<>|')
"""What a shell or another system would take as something else."""
MAX_NAME_BYTES = 200
MAX_DEPTH = 8


@dataclass(frozen=True, slots=True)
class ModelName:
    """`mistralai/Mistral-7B-v0.1@main`, or one file of it: `org/name/weights.Q4_K_M.gguf@main`."""

    repo: str
    """`org/name`; a model without an organisation, or a registered directory, is just `name`."""
    revision: str = ""
    """Branch, tag or commit; empty when none was given."""
    file: str = ""

    @property
    def folder(self) -> str:
        """The directory that all revisions of it share: `org--name`."""
        return self.repo.replace("/", "--")

    def __str__(self) -> str:
        path = f"{self.repo}/{self.file}" if self.file else self.repo
        return f"{path}@{self.revision}" if self.revision else path


def parse_name(text: str) -> ModelName:
    """A name as a person types it. Raises UsageError that says what is wrong with it."""
    path, at, revision = text.partition("@")
    pieces = path.split("/")
    repo, file = "/".join(pieces[:2]), "/".join(pieces[2:])
    if not NAME.fullmatch(repo) or ".." in repo or "--" in repo or repo.endswith((".git", ".")):
        raise UsageError(
            f"'{text}' is not the name of a model.", hint="It looks like `org/name` or `org/name@revision`."
        )
    if at and (not REVISION.fullmatch(revision) or ".." in revision or "//" in revision):
        raise UsageError(f"'{revision}' is not a revision.", hint="It is a branch, a tag or a commit.")
    if file and not is_safe(file):
        raise UsageError(f"'{file}' is not the name of a model's file.")
    return ModelName(repo, revision, file)


def escapes(path: str) -> bool:
    """Whether a file name from a hub, whose list is hostile input, would lead out of the model's directory."""
    components = path.split("/")
    return "\\" in path or not path.isprintable() or any(component in ("", ".", "..") for component in components)


def is_safe(path: str) -> bool:
    """Whether a file may have this name here: it stays inside, nothing is hidden, no program takes it for an option."""
    components = path.split("/")
    return not escapes(path) and len(components) <= MAX_DEPTH and all(map(_is_plain, components))


def _is_plain(component: str) -> bool:
    return (
        not NOT_IN_NAMES & set(component)
        and component[0] not in ".~- "
        and component[-1] not in ". "
        and len(component.encode()) <= MAX_NAME_BYTES
    )
