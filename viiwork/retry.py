"""How long a job waits after a fault that another attempt may get past. Pure."""

from __future__ import annotations


def backoff_s(strikes: int, *, base_s: float, cap_s: float, unit: float) -> float:
    """Seconds before the next attempt: anywhere up to `base_s` doubled with each strike, `cap_s` at most.

    `unit` is the caller's random number from 0 to 1 (full jitter: a fault that met many jobs at once must not bring
    them all back at once; Brooker, "Exponential Backoff and Jitter", 2015). `strikes` counts the faults before this.
    """
    doublings = min(max(0, strikes), 30)  # beyond that the cap holds anyway
    return unit * min(cap_s, base_s * 2.0**doublings)
