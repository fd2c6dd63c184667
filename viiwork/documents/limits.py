"""How much one document may cost."""

from __future__ import annotations

from dataclasses import dataclass

MIB = 1024 * 1024
MAX_REQUEST_BYTES = 64 * 1024
"""Of one message to the reading helper; the path of the document is the only long thing in it."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What the process that reads one document may use before it is ended."""

    memory_bytes: int = 700 * MIB
    """Of address space, the interpreter and the parsers included: below 256 MiB nothing can be read.

    About 150 MiB of it are never resident, so a process holds less than 600 MB.
    """
    cpu_s: int = 60
    wall_s: float = 120.0
    output_bytes: int = 64 * MIB
    """Of the text that is sent back, as JSON in UTF-8."""
    input_bytes: int = 256 * MIB
    unpacked_bytes: int = 512 * MIB
    """What a packed format (docx, pptx, xlsx) may claim to unpack to."""
    members: int = 10_000
    """Of an archive or an e-mail, and of those inside it."""
    member_bytes: int = 128 * MIB
    """Of one file inside another."""
    members_bytes: int = 1024 * MIB
    """Of all of them together."""
    reaching_bytes: int = 20 * 1024 * MIB
    """What may be unpacked and parsed on the ways to all of them: each is reached anew, from the file that was sent.

    At 100 MiB/s, as one core does, it is about 200 seconds.
    """
