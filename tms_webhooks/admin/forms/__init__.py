"""The form of a webhook: its fields, its header lines, and its events."""
