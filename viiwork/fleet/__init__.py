"""The supervisor: a plan of processes, the processes, and their restarts."""

from viiwork.fleet.plan import ProcessSpec, Role, plan
from viiwork.fleet.supervisor import Supervisor

__all__ = ["ProcessSpec", "Role", "Supervisor", "plan"]
