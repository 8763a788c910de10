"""Rows that are hidden, not deleted: a column says when, and the default manager leaves them out."""
