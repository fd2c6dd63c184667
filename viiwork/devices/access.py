"""Whether this user may open a device's file, and by which group it could."""

from __future__ import annotations

import os
import pwd
from collections.abc import Mapping
from dataclasses import dataclass

from viiwork.devices.host import Host

GROUPS = "/etc/group"
FIELDS = 4
"""Name, password, number, members."""


@dataclass(frozen=True, slots=True)
class Person:
    """Who this process runs as."""

    name: str
    gids: frozenset[int]
    """Groups that it has now, which are those of its log-in."""


@dataclass(frozen=True, slots=True)
class DeviceFile:
    """One file below `/dev`, and the way to it."""

    path: str
    there: bool
    openable: bool
    gid: int = -1
    """Of its own group: a container must be given this number, since its names may mean others."""
    group: str = ""
    """What this system calls it; empty where it has no name for it."""
    has_group: bool = False
    """This process has it."""
    is_member: bool = False
    """The group's list names the user, so that the next log-in has it."""


def this_person() -> Person:
    """The user of this process; one without a name goes by its number."""
    uid = os.geteuid()
    try:
        name = pwd.getpwuid(uid).pw_name
    except KeyError:
        name = str(uid)
    return Person(name, frozenset({*os.getgroups(), os.getegid()}))


def device_file(host: Host, path: str, person: Person) -> DeviceFile:
    """How this file stands to this person."""
    try:
        gid = host.path(path).stat().st_gid
    except OSError:
        return DeviceFile(path, there=False, openable=False)
    group, members = groups_of(host).get(gid, ("", ()))
    return DeviceFile(
        path,
        there=True,
        openable=host.openable(path),
        gid=gid,
        group=group,
        has_group=gid in person.gids,
        is_member=person.name in members,
    )


def groups_of(host: Host) -> Mapping[int, tuple[str, tuple[str, ...]]]:
    """Name and members by number, as far as this system keeps them in a file."""
    try:
        lines = host.text(GROUPS).splitlines()
    except OSError:
        return {}
    rows = [fields for line in lines if len(fields := line.split(":")) == FIELDS and fields[2].isdigit()]
    return {int(gid): (name, tuple(filter(None, members.split(",")))) for name, _, gid, members in rows}
