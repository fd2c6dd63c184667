"""Rows of results as other things than JSON Lines: tables with a column a field, and a report to be read."""
