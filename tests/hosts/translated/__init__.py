"""Titles in a second table, one row per language, as django-parler keeps them: the row is saved first."""
