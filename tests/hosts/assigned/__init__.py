"""A class that has no organization at first: somebody assigns it later, or its course gets one."""
