"""What a sender has here for longer, against its limits: files, their bytes, and batches that have not ended.

The scripts that make such a thing count it (`lua/kept.lua`): however many processes serve the API, it is exact.
"""

from __future__ import annotations

from collections.abc import Sequence

from viiwork.allowance import KeptNow
from viiwork.errors import Conflict, RateLimited
from viiwork.limits import Account, Ceiling, Kept
from viiwork.store.connection import Connection

CODE = "storage_limit_exceeded"
AGAIN_S = 60.0
"""When to ask again for a batch: nobody knows when one ends."""
FREE = "Delete files that are not needed (`DELETE /v1/files/{id}`), or have the limit raised"


async def kept_now(store: Connection, account: Account) -> KeptNow:
    """What an account has now."""
    most = account.kept()
    files, size, batches = await store.read(
        [
            ("HGET", f"{store.prefix}stored:{subject(account, most.files)}", "files"),
            ("HGET", f"{store.prefix}stored:{subject(account, most.bytes)}", "bytes"),
            ("ZCARD", f"{store.prefix}open:{subject(account, most.batches)}"),
        ]
    )
    return KeptNow(files=int(files or 0), bytes=int(size or 0), batches=int(batches or 0))


async def room_for(store: Connection, account: Account, size: int) -> Conflict | None:
    """Why a file of so many bytes would not be taken now, or None; nothing is counted."""
    most, now = account.kept(), await kept_now(store, account)
    if 0 < most.files.most <= now.files:
        return refusal(most, ["files", letter(most.files), now.files], size)
    if 0 < most.bytes.most < now.bytes + size:
        return refusal(most, ["bytes", letter(most.bytes), now.bytes], size)
    return None


async def reserve(store: Connection, batch: str, account: Account) -> None:
    """Count a batch that is going to be made. Idempotent by its id. Raises RateLimited."""
    most = account.kept().batches
    taken, there = await store.call("reserve", batch, account.tenant, account.key, letter(most), most.most)
    if not taken:
        said = f"{most.whose} may have {most.most:,} batches that have not ended, and has {there:,}."
        hint = "Wait until one has ended, cancel one (`POST /v1/batches/{id}/cancel`), or have the limit raised."
        raise RateLimited(said, hint=f"{hint} `GET /v1/limits` tells how many are open.", retry_after_s=AGAIN_S)


def refusal(most: Kept, short: Sequence[str | int], size: int) -> Conflict:
    """Why a file of so many bytes is not kept: `{files or bytes, k or t, how much there is}`."""
    there = int(short[2])
    if short[0] == "files":
        said = f"{most.files.whose} may keep {most.files.most:,} files, and has {there:,}."
    else:
        whole = f"{most.bytes.whose} may keep {most.bytes.most:,} bytes of files"
        said = f"{whole}, and has {there:,}; this file has {size:,}."
    return Conflict(said, hint=f"{FREE}; `GET /v1/limits` tells what is left.", code=CODE, param="file")


def letter(ceiling: Ceiling) -> str:
    """For whom something counts, as the scripts say it."""
    return "k" if ceiling.of_key else "t"


def subject(account: Account, ceiling: Ceiling) -> str:
    """Whose count it is, as its key ends."""
    return f"k:{account.key}" if ceiling.of_key else f"t:{account.tenant}"
