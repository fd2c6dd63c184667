"""Sample documents, and the demonstration that runs on them."""
