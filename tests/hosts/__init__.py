"""A host that does everything otherwise: a user model of its own, UUIDs as keys, statuses in words, a second database.

Its tests run in a process with settings of their own; `tests/acceptance/test_other_hosts.py` starts it.
"""
