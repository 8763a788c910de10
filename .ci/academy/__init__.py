"""A host of a few lines: its app has no migrations, and its sources are found in `webhooks`."""
