"""Files and batches as the clients of the OpenAI API know them: what they are and how they stand. Pure."""
