"""The OpenAI API: what any of its clients sends, and what it expects to be answered."""
