"""``manage.py demo``: a working day at the training system, with typical failures, in half a minute.

Read `show` first: it runs the steps in order. `scenes` makes the changes of a normal day, `incidents` causes failures,
`poller` sees the same changes by polling, `ledger` records expected and received events, and `verdict` compares them.
"""
