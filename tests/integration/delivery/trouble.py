"""A database that refuses some statements, for a while."""

from django.db import OperationalError


class Trouble:
    """Refuses the first ``times`` statements that have ``verb`` for their first word, or one of a CTE, and name ``table``.

    ``only`` narrows it to those with this text in their parameters, ``error`` is what it raises. Use it with
    ``connection.execute_wrapper``.
    """

    def __init__(self, verb, table, *, times, only=None, error=OperationalError):
        self.verb = verb
        self.table = table
        self.left = times
        self.only = only
        self.error = error
        self.refused = 0

    def __call__(self, execute, sql, params, many, context):
        begins = sql.lstrip().upper().startswith(self.verb)
        in_one = sql.lstrip().upper().startswith("WITH") and self.verb in sql.upper()
        meant = (begins or in_one) and self.table in sql
        # One parameter may be JSON that holds the value.
        if self.left and meant and (self.only is None or self.only in str(params)):
            self.left -= 1
            self.refused += 1
            raise self.error("the connection was lost")
        return execute(sql, params, many, context)
