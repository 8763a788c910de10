"""Accounts of which some are learners: by a table that extends theirs, or by a row beside theirs."""
