"""All files inside an archive or an e-mail, at every depth, each with the way that leads to it.

They stay where they are: the way is enough to reach one again, so nothing has to be written down in between. Looking
through a file always gives the same files in the same order.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from viiwork.documents import sniff
from viiwork.documents.archive import BrokenDirectory, opened, zip_file, zip_files
from viiwork.documents.attachments import mail_files, work
from viiwork.documents.contents import Member
from viiwork.documents.held import Crowded, Held, told_apart
from viiwork.documents.limits import Limits
from viiwork.documents.outcomes import Unread
from viiwork.documents.salvage import salvaged

MAX_DEPTH = 3
"""Of containers inside each other: a file may stand in an archive in an archive in an archive."""
OPENERS: dict[sniff.Kind, Callable[[bytes], list[Held]]] = {sniff.ZIP: zip_files, sniff.MAIL: mail_files}


@dataclass(slots=True)
class Budget:
    """What may still be taken out, of all depths together."""

    files_left: int
    bytes_left: int
    reaching_left: int
    limits: Limits

    def count(self) -> None:
        """Raises Crowded."""
        self.files_left -= 1
        if self.files_left < 0:
            raise Crowded("too_big", f": there are more than {self.limits.members:,} files in it")

    def reach(self, cost: int) -> None:
        """Raises Unread."""
        if cost > self.reaching_left:
            gib = self.limits.reaching_bytes / 1024**3
            raise Unread(
                "too_big",
                f": it lies in others; to unpack and parse them for each file again may come to {gib:.3g} GiB",
            )
        self.reaching_left -= cost

    def take(self, held: Held) -> bytes:
        """Raises Unread."""
        content = held.read(min(self.limits.member_bytes, self.bytes_left))
        self.bytes_left -= len(content)
        return content


def members_of(data: bytes, kind: sniff.Kind | None, limits: Limits) -> tuple[Member, ...]:
    """The files inside a file of this kind, in reading order; an archive inside stands for what it holds.

    Of an archive that was cut off (no kind) those that are still whole; of what is no container none. Raises Unread:
    `damaged`; `empty` for an archive without files; `too_big` for one with too many.
    """
    budget = Budget(limits.members, limits.members_bytes, limits.reaching_bytes, limits)
    # of an archive that was sent itself only the directory is read to reach a file
    found = tuple(_walk(held_in(data, kind), (), "", budget, cost=work(data) if kind is sniff.MAIL else 0))
    if not found and kind is sniff.ZIP:
        raise Unread("empty", ": there is no file in it")
    return found


def held_in(data: bytes, kind: sniff.Kind | None) -> list[Held]:
    """The files that stand in it directly. Raises Unread `damaged`."""
    return salvaged(data) if kind is None else OPENERS[kind](data)


def reach(data: bytes, way: Sequence[int], limits: Limits) -> bytes:
    """The bytes at the end of a way. Raises Unread."""
    for number in way:
        data = _one_of(data, number, limits.member_bytes)
    return data


def _one_of(data: bytes, number: int, most: int) -> bytes:
    """What stands at one place of what was found to hold something; its directory is read once. Raises Unread."""
    kind: sniff.Kind | None = sniff.MAIL
    if data.startswith(sniff.ZIP_STARTS):
        try:
            return zip_file(opened(data), number, most)
        except BrokenDirectory:
            kind = None
    inside = next((one for one in held_in(data, kind) if one.number == number), None)
    if inside is None:
        raise Unread("damaged")
    return inside.read(most)


def container(data: bytes, suffix: str) -> sniff.Kind | None:
    """Which kind of container the bytes are, if any."""
    try:
        kind = sniff.sniff_bytes(data)
    except Unread:
        return None  # whoever reads it will say what it is
    if kind is None and sniff.is_mail(data, suffix):
        return sniff.MAIL
    return kind if kind is sniff.ZIP else None


def _walk(
    all_held: Sequence[Held], way: tuple[int, ...], before: str, budget: Budget, *, cost: int
) -> Iterator[Member]:
    """`cost` is what has to be unpacked and parsed to reach each of them."""
    names = Counter[str]()
    for held in all_held:
        budget.count()
        here, name = (*way, held.number), before + told_apart(names, held.name)
        if len(way) >= MAX_DEPTH:
            yield Member(here, name, code="too_deep")
        else:
            yield from _kept_apart(held, here, name, budget, cost=cost)


def _kept_apart(held: Held, way: tuple[int, ...], name: str, budget: Budget, *, cost: int) -> Sequence[Member]:
    """What a file is or holds; whatever is wrong with it costs none of the others. Raises Crowded."""
    try:
        budget.reach(cost)
        return tuple(_found(budget.take(held), way, name, budget, cost=cost))
    except Crowded:
        raise
    except Unread as reason:
        return (Member(way, name, code=reason.code, detail=reason.detail),)
    except MemoryError:
        return (Member(way, name, code="too_big", detail=": it needs more memory than a document may take"),)
    except RecursionError:
        return (Member(way, name, code="damaged", detail=": its parts stand inside each other far too deep"),)
    except Exception:  # noqa: BLE001 - one odd file that a library fails at must not cost the whole archive
        return (Member(way, name, code="damaged"),)


def _found(content: bytes, way: tuple[int, ...], name: str, budget: Budget, *, cost: int) -> Iterator[Member]:
    """The file; for an archive what it holds instead, for a message what is attached besides. Raises Unread."""
    kind = container(content, sniff.suffix_of(name))
    if kind is not sniff.ZIP:
        yield Member(way, name, sha256=hashlib.sha256(content).hexdigest())
        if kind is sniff.MAIL:
            yield from _walk(_attached(content), way, f"{name}/", budget, cost=cost + work(content))
        return
    if len(way) >= MAX_DEPTH:
        raise Unread("too_deep")
    inside = tuple(_walk(zip_files(content), way, f"{name}/", budget, cost=cost + len(content)))
    if not inside:
        raise Unread("empty", ": there is no file in it")
    yield from inside


def _attached(content: bytes) -> Sequence[Held]:
    """What is attached to a message; nothing where it is broken: whoever reads it will say so.

    Raises Unread `too_big`.
    """
    try:
        return mail_files(content)
    except Unread as reason:
        if reason.code == "damaged":
            return ()
        raise
    except RecursionError:
        return ()
