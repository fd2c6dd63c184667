"""The `viiwork` command. The data commands speak HTTP only, so they work from any computer."""
