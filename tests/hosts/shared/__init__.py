"""A class that several organizations own: those that have its course."""
