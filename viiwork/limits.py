"""How much a key, or a tenant, may ask for. Pure.

A limit that is said of a key counts for that key alone. One that is not is the default of `[limits]`, and counts for
the tenant: all its keys that say nothing of it share it, so a second key is no second quota unless somebody means it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field, ValidationError, ValidatorFunctionWrapHandler, WrapValidator
from pydantic_core import PydanticCustomError

from viiwork.jobs import Lane
from viiwork.wire import Wire

NONE: Literal["none"] = "none"
"""Said of a key, it lifts the default."""
MOST, MOST_LARGE = 10**9, 10**12


def _in_words(most: int) -> WrapValidator:
    """One sentence on what a limit must be, in place of one from pydantic on each kind that it may have."""

    def checked(value: Any, inner: ValidatorFunctionWrapHandler) -> Any:
        try:
            return inner(value)
        except ValidationError as error:
            raise PydanticCustomError("limit", WRONG, {"most": f"{most:,}"}) from error

    return WrapValidator(checked)


WRONG = "must be a whole number from 1 to {most}, or `none`"
Amount = Annotated[Annotated[int, Field(ge=1, le=MOST)] | Literal["none"] | None, _in_words(MOST)]
LargeAmount = Annotated[Annotated[int, Field(ge=1, le=MOST_LARGE)] | Literal["none"] | None, _in_words(MOST_LARGE)]


class LimitFields(BaseModel):
    """Every limit that there is; None where nothing is said of it."""

    interactive_requests_per_minute: Amount = None
    """Jobs that are taken in, in the mean of time; whoever rested may send a whole minute's at once."""
    interactive_tokens_per_minute: Amount = None
    """A prompt and the longest answer that it may have, until its end tells what it took."""
    interactive_in_flight: Amount = None
    """Jobs on their own that have not ended."""
    interactive_backlog: Amount = None
    """Jobs of analyses, files and batches that have not ended."""
    interactive_documents: Amount = None
    """Of one analysis, or lines of one file."""
    batch_requests_per_minute: Amount = None
    """Documents and lines are counted one by one."""
    batch_tokens_per_minute: Amount = None
    """What documents take is known once they are read: it is charged then, and further work waits for it."""
    batch_in_flight: Amount = None
    batch_backlog: Amount = None
    monthly_tokens: LargeAmount = None
    """Of both lanes, in a calendar month (UTC)."""
    stored_files: Amount = None
    """Files that were sent for later use, and those that batches have written, until they are deleted or expire."""
    stored_bytes: LargeAmount = None
    """Of all of them."""
    open_batches: Amount = None
    """Batches of files whose own files are not written yet."""


class Limits(Wire, LimitFields):
    """What is said of a key."""


NO_LIMITS = Limits()
THOUSANDS = {"k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12}
SCALED = re.compile(r"(\d+(?:\.\d+)?)([kmgt])")
USUAL_DOCUMENTS = 200
"""Of one analysis in the interactive lane where keys are asked for and nobody says anything: others wait there too."""
USUAL_FILES, USUAL_BYTES, USUAL_BATCHES = 10_000, 100 * 10**9, 100
"""What a tenant may keep where keys are asked for and nobody says anything: a script that runs wild fills no disk."""


def changed(limits: LimitFields, said: Mapping[str, object]) -> Limits:
    """Limits with those that are said put in the place of the old ones; None goes back to the fleet's own.

    Raises pydantic's ValidationError.
    """
    return Limits.model_validate({**limits.model_dump(), **said})


def parse_limit(text: str) -> tuple[str, str | None]:
    """`monthly_tokens=5M` → (`monthly_tokens`, `5000000`); `default` is None. Raises KeyError for no such limit."""
    said, _, value = text.partition("=")
    name = said.replace("-", "_")
    if name not in LimitFields.model_fields or not value:
        raise KeyError(name)
    if value == "default":
        return name, None
    number = SCALED.fullmatch(value.lower())
    return name, str(int(float(number[1]) * THOUSANDS[number[2]])) if number else value


@dataclass(frozen=True, slots=True)
class Ceiling:
    """The most of something, and whose use counts against it; 0 is any number."""

    most: int = 0
    of_key: bool = False

    @property
    def whose(self) -> str:
        """In words, at the beginning of a sentence."""
        return "This key" if self.of_key else "This tenant"


@dataclass(frozen=True, slots=True)
class Ceilings:
    """What bounds the work of one sender in one lane."""

    requests: Ceiling
    tokens: Ceiling
    in_flight: Ceiling
    backlog: Ceiling
    monthly_tokens: Ceiling
    documents: Ceiling


@dataclass(frozen=True, slots=True)
class Kept:
    """What bounds what one sender has here for longer: files, their bytes, batches that have not ended."""

    files: Ceiling
    bytes: Ceiling
    batches: Ceiling


@dataclass(frozen=True, slots=True)
class Account:
    """Who pays: a key or, without one, a tenant."""

    tenant: str
    key: str = ""
    """Its id; empty where keys are not asked for."""
    own: LimitFields = NO_LIMITS
    defaults: LimitFields = NO_LIMITS

    def ceilings(self, lane: Lane) -> Ceilings:
        """What bounds its work in a lane."""
        return Ceilings(
            requests=self._ceiling(f"{lane}_requests_per_minute"),
            tokens=self._ceiling(f"{lane}_tokens_per_minute"),
            in_flight=self._ceiling(f"{lane}_in_flight"),
            backlog=self._ceiling(f"{lane}_backlog"),
            monthly_tokens=self._ceiling("monthly_tokens"),
            documents=self._usual("interactive_documents", USUAL_DOCUMENTS) if lane is Lane.INTERACTIVE else Ceiling(),
        )

    def kept(self) -> Kept:
        """What bounds what it keeps here."""
        return Kept(
            files=self._usual("stored_files", USUAL_FILES),
            bytes=self._usual("stored_bytes", USUAL_BYTES),
            batches=self._usual("open_batches", USUAL_BATCHES),
        )

    def _usual(self, name: str, usual: int) -> Ceiling:
        unsaid = getattr(self.own, name) is None and getattr(self.defaults, name) is None
        return Ceiling(usual) if self.key and unsaid else self._ceiling(name)

    def _ceiling(self, name: str) -> Ceiling:
        own, default = getattr(self.own, name), getattr(self.defaults, name)
        said, of_key = (default, False) if own is None or not self.key else (own, True)
        return Ceiling(0 if said in (None, NONE) else int(said), of_key)
