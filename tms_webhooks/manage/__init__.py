"""The verbs that people ask for, each once, for the admin, the API, YAML documents and the commands.

Each verb takes an actor, locks the rows that it changes, writes its audit entries and sends its signal, in one
transaction. It returns the result, or raises an error of `tms_webhooks.exceptions`. A caller checks permissions, parses and
prints; it writes neither a row nor an audit entry.
"""
