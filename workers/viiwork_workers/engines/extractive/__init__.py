"""The extractive preview: sentences of the document itself, chosen without a language model."""
