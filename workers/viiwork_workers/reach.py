"""Whether a worker of a computer that joined reaches the fleet's documents, and what it does while it does not.

Where the head refuses its token it takes nothing, for nearly every job needs a document sooner or later, and each would
go back and be taken again. Where nobody answers, jobs with small inputs go on; those that need a document rest longer
each time before they go back. The head is asked again with growing pauses, and all is as before once it answers.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator

from viiwork.errors import StoreUnavailable
from viiwork.store.blobhttp import RemoteBlobs
from viiwork.store.blobwire import TOKEN_REFUSED
from viiwork_workers.execute import STORE_PAUSE_S
from viiwork_workers.station import Station

log = logging.getLogger(__name__)
LONGEST_S = 60.0


def pauses() -> Iterator[float]:
    """Seconds between two questions: twice as long each time, up to a minute. Pure."""
    pause_s = STORE_PAUSE_S
    while True:
        yield pause_s
        pause_s = min(2 * pause_s, LONGEST_S)


class Reach:
    """Runs on the engine's loop, for one worker."""

    def __init__(self, blobs: RemoteBlobs, station: Station) -> None:
        self._blobs, self._station = blobs, station

    async def mind(self) -> None:
        """Until it is cancelled."""
        while True:
            await self._blobs.troubled.wait()
            await self._until_reached()

    async def _until_reached(self) -> None:
        told = ""
        for pause_s in pauses():
            error = await self._asked()
            if error is None:
                break
            shut, reason = error.code == TOKEN_REFUSED, error.message.rstrip(".")
            told = f"takes nothing: {reason}" if shut else f"large inputs wait: {reason}"
            self._station.note_reach(told, shut=shut)
            self._station.executor.rest_s = pause_s
            log.warning("%s: %s %s asked again in %.0f s", self._station.card.name, told, error.hint, pause_s)
            await self._blobs.reached(within_s=pause_s)
        if told:
            self._station.note_reach("", shut=False)
            self._station.executor.stir()

    async def _asked(self) -> StoreUnavailable | None:
        """Why the head's documents are not to be had; None once they are."""
        if not self._blobs.troubled.is_set():  # a job's own question was answered meanwhile
            return None
        try:
            await self._blobs.standing()
        except StoreUnavailable as error:
            return error
        return None
