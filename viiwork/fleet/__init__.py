"""The supervisor: a plan of processes, the processes, and their restarts."""
