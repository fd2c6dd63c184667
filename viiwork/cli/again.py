"""`viiwork analyze --from FILE.run.json`: an earlier run once more, and what is not as it was then."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from viiwork.bigrun.record import RunRecord
from viiwork.bigrun.setup import Setup, changed
from viiwork.errors import UsageError


def check_alone(given: Mapping[str, object]) -> None:
    """Raises UsageError for a flag that would make it another run than the record's; `given` are flags with values."""
    for flag, value in given.items():
        if value:
            hint = "Leave it out, or say everything by flags."
            raise UsageError(f"--{flag}: has no place beside --from, which says what to do.", hint=hint, param=flag)


def paths_again(record: RunRecord, paths: Sequence[str]) -> list[str]:
    """The paths that were given, else those of the record. Raises UsageError for one that is not there any more."""
    again = list(paths or record.paths)
    for path in again:
        if not paths and not Path(path).exists():
            hint = "Give the paths anew: viiwork analyze PATH… --from FILE."
            raise UsageError(f"{path}: was analysed then, and is not there now.", hint=hint, param="PATH")
    return again


def sample_again(record: RunRecord) -> tuple[int | None, int | None]:
    """The sample and the seed of a run that was nothing but a sample."""
    parts = record.parts
    if parts and all(part.sample is not None for part in parts):
        return sum(len(part.files) for part in parts), parts[0].seed
    return None, None


def differences(record: RunRecord, now: Setup, digests: Sequence[str]) -> list[str]:
    """A sentence for each thing that is not as it was: what answers depend on, and the files. Pure."""
    said = [f"Not as then: {one}." for one in changed(record.setup, now)]
    then = Counter(file.sha256 for part in record.parts for file in part.files)
    today = Counter(digests)
    new, gone = (today - then).total(), (then - today).total()
    if new or gone:
        said.append(f"Not as then: {new} files have other content or are new, and {gone} of then are not among them.")
    return said
