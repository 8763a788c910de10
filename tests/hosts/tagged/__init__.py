"""A class whose status is made of a boolean and a tag."""
