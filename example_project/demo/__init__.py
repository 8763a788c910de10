"""``manage.py demo``: a day at the training system, with everything that can go wrong, in half a minute.

Read `show` first: it is the program of the evening. `scenes` is what people do all day, `troubles` what goes wrong,
`ledger` what has to arrive and what did, `verdict` whether that is the same.
"""
