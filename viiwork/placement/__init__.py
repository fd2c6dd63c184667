"""Which model goes on which cards: what a model needs, whether it fits, and what is known to work."""
