"""Guess a ``webhooks.py`` from a host's models: which source a model is, and the paths and statuses of its fields.

The checks use the same guesses for their hints. A guess never changes an event: a developer pastes it.
"""
