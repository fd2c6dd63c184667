"""A Radeon VII that is not there: what it would take, without a card and without a model."""
