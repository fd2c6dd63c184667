"""Before and after a big run: what it will take, a sample of it, what of it is done already, and how it was made."""
