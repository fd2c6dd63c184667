"""Stand-ins for programs that the tests cannot run: each says that it is a fake wherever it shows."""
