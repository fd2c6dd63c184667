"""Keeps the program of an engine alive, in a process that outlives its worker."""
