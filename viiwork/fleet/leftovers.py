"""What is left of a fleet that nobody keeps any more: workers, guards and engines, each ended as it can bear."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Collection, Iterable

from viiwork.containers import sweep
from viiwork.containers.container import STATE
from viiwork.fleet.plan import TAG
from viiwork.guardrecord import ENGINE_OF, STOP_GRACE_S, GuardRecord, Person, read_records, record_file
from viiwork.processes import descendants, end, environments, is_alive, send, wait_gone
from viiwork.statedir import StateDir

GUARD_S = 40.0
"""What a guard may take beyond its engine's grace: what hangs is killed, and the card's memory comes back."""
KILLED_S = 5.0


class Leftovers:
    """Of one state directory, whose lock the caller holds: nobody starts anything there meanwhile.

    Workers first, or they would have a guard started again. Then guards, which end their engines as these can bear:
    an engine is ended from here only when no guard that lives answers for it, and killed only after its own grace,
    however much somebody hurries. A killed engine can wedge its card until the host is restarted.
    """

    def __init__(self, state: StateDir, *, tell: Callable[[str], None]) -> None:
        self._root = state.root
        self._tell = tell
        self._records: dict[str, GuardRecord] = {}
        self._people: set[Person] = set()

    def present(self) -> list[Person]:
        """All of them that run."""
        self._look()
        marked = self._marked()
        return sorted({*marked[0], *self._guards().values(), *self._engines(marked[1])})

    def end(self, *, grace_s: float) -> list[int]:
        """End them; those that are neither guard nor engine within `grace_s`. Answers the process ids."""
        there = self.present()
        if not there:
            self._end_containers()
            self._forget()
            return []
        end(self._others(), grace_s=grace_s)
        self._end_guards()
        self._end_containers()
        self._end_engines()
        end(self._others(), grace_s=grace_s)  # what those started that were being ended
        self._forget()
        return [pid for pid, _ in there]

    def _look(self) -> None:
        """A guard that ends takes its record away, and is remembered here."""
        self._records |= read_records(self._root)

    def _marked(self) -> tuple[set[Person], set[Person]]:
        """By the marks in their environments: all of the fleet, and of these the engines."""
        fleet, engines = set(), set()
        for person, environ in environments():
            if environ.get(TAG) == str(self._root):
                fleet.add(person)
            if environ.get(ENGINE_OF, "").startswith(f"{self._root}:"):
                engines.add(person)
        return fleet | engines, engines

    def _guards(self) -> dict[str, Person]:
        return {worker: record.guard for worker, record in self._records.items() if is_alive(*record.guard)}

    def _engines(self, marked: Iterable[Person]) -> set[Person]:
        """Those known from before too: a child whose parent has ended, and that has no mark, is found no more."""
        recorded = {person for record in self._records.values() for person in record.people}
        known = {person for person in {*self._people, *recorded, *marked} if is_alive(*person)}
        parents = {*known, *self._guards().values()}
        self._people = known.union(*(descendants(pid) for pid, _ in parents))
        return {person for person in self._people if person[0] != os.getpid()}

    def _others(self) -> set[Person]:
        self._look()
        marked, engines = self._marked()
        return marked - self._engines(engines) - set(self._guards().values())

    def _end_guards(self) -> None:
        """Each ends its engine, and then itself; one that does not is killed, and its engine left to us."""
        self._look()
        guards = self._guards()
        if not guards:
            return
        grace_s = max(self._records[worker].stop_grace_s for worker in guards)
        self._announce([worker for worker in guards if self._records[worker].people], grace_s)
        _ask(guards.values())
        stuck = wait_gone(guards.values(), timeout_s=grace_s + GUARD_S)
        for guard in stuck:
            send(*guard, signal.SIGKILL)
        wait_gone(stuck, timeout_s=KILLED_S)

    def _end_containers(self) -> None:
        """Those of this state directory that no guard answers for, whoever runs in them."""
        boxed = [record for record in self._records.values() if record.client is not None]
        for client in {record.client.program: record.client for record in boxed if record.client is not None}.values():
            if ids := sweep.find(client, STATE, str(self._root)):
                grace_s = max(record.stop_grace_s for record in boxed)
                self._tell(f"{len(ids)} containers of engines are ending, up to {grace_s:.0f} s")
                sweep.end(client, ids, grace_s=grace_s)

    def _end_engines(self) -> None:
        self._look()
        people = self._engines(self._marked()[1])
        if not people:
            return
        owners = {worker: record for worker, record in self._records.items() if people.intersection(record.people)}
        grace_s = max((record.stop_grace_s for record in owners.values()), default=STOP_GRACE_S)
        self._announce(owners, grace_s)
        _ask(people)
        wait_gone(people, timeout_s=grace_s)
        left = self._engines(self._marked()[1])
        for person in left:
            send(*person, signal.SIGKILL)
        if stuck := wait_gone(left, timeout_s=KILLED_S):
            pids = ", ".join(str(pid) for pid, _ in stuck)
            self._tell(f"processes of an engine cannot be ended (pid {pids}): its card may need a restart of the host")

    def _announce(self, workers: Collection[str], grace_s: float) -> None:
        names = ", ".join(sorted(workers)) or "a worker that is gone"
        engines = f"the engines of {names} are" if len(workers) > 1 else f"the engine of {names} is"
        self._tell(f"{engines} ending, up to {grace_s:.0f} s")

    def _forget(self) -> None:
        """Records of those that are gone."""
        for worker, record in self._records.items():
            if not any(is_alive(*person) for person in (record.guard, *record.people)):
                record_file(self._root, worker).unlink(missing_ok=True)


def _ask(people: Iterable[Person]) -> None:
    for person in people:
        send(*person, signal.SIGTERM)
        send(*person, signal.SIGCONT)  # a stopped process acts on nothing until it goes on


def longest_end_s(state: StateDir) -> float:
    """How long the engines that run now may take to end, with their guards; 0 where none is ours to end."""
    records = read_records(state.root).values()
    ended = (record.stop_grace_s for record in records if record.stop_grace_s and is_alive(*record.guard))
    return max((grace_s + GUARD_S for grace_s in ended), default=0.0)
