"""A model that extends another by a table of its own, both registered, with a list at the parent."""
