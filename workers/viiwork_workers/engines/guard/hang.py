"""Whether an engine hangs: requests run, and nothing comes of them. Pure."""

from __future__ import annotations

from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True)
class Hang:
    """Since when requests ran without progress, by looks a second or so apart."""

    hang_s: float
    """For so long nothing may come while requests run."""
    still_since_s: float | None = None
    progress: float | None = None

    def after(self, *, now_s: float, running: int, progress: float) -> Hang:
        """The record after one more look.

        `progress` is any count of what came: tokens by the engine's own metric, or bytes answered. Each change of it
        counts, down as well as up, since a count that went down was begun anew.
        """
        if running <= 0:
            return replace(self, still_since_s=None, progress=progress)
        if self.still_since_s is None or progress != self.progress:
            return replace(self, still_since_s=now_s, progress=progress)
        return self

    def hung(self, now_s: float) -> bool:
        """Whether requests have run without progress for `hang_s`, if what was seen last still holds at `now_s`."""
        return self.still_since_s is not None and now_s - self.still_since_s >= self.hang_s
