"""A class that has no organization at first: an administrator assigns one later, or its course gets one."""
