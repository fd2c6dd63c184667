"""Engines that are servers of others: asked over HTTP, each in its own dialect."""
