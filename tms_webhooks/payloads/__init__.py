"""Build the body of an event, and write it in the format of a webhook. No database access."""
