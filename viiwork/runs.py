"""What an analysis that ended came to, as it is told on the wire: the fleet's measure for the next one."""

from __future__ import annotations

from viiwork.expense import Cost
from viiwork.wire import Wire


class Run(Wire):
    """One analysis, or file of jobs, that ran to its end without a pause. Whose it was is not told."""

    task: str
    model: str
    finished_ms: int
    calls: int
    """Of engines that succeeded: the parts of documents, and merges that took one."""
    prompt_tokens: int
    output_tokens: int
    seconds: float
    """From the start of its first call to the end of its last one; what others had the engines for is in it."""
    slots: int
    """How many calls at a time the model's workers took when it ended."""
    energy_j: float | None = None
    """What the cards used for it; None where that is not known of all of its calls."""
    energy_simulated: bool | None = None
    cost: Cost | None = None


class Runs(Wire):
    """Those of one model, the last one first."""

    runs: tuple[Run, ...] = ()
