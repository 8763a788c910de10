"""An app with organizations of its own, one known noun and one new noun."""
