"""Benchmarks that people can repeat: `python -m bench NAME [--json]`, `python -m bench all`."""
