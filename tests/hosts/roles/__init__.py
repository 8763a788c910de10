"""A table of roles, in which only one role is an enrollment."""
