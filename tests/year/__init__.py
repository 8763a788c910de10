"""``python -m tests.year``: a simulated year of the example on PostgreSQL. See `tests.year.__main__`."""
