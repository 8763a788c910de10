"""Every id of a check with its meaning, and the one way to make a message of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from django.core import checks
from django.core.checks import CheckMessage

PREFIX = "tms_webhooks"

_CLASSES: Mapping[str, Callable[..., CheckMessage]] = {"E": checks.Error, "W": checks.Warning, "I": checks.Info}

MEANINGS: Mapping[str, str] = {
    # Settings
    "E001": "`TMS_WEBHOOKS` is not a dictionary.",
    "E002": "`TMS_WEBHOOKS` has a name that is no setting.",
    "E003": "A setting has a value of the wrong kind.",
    "E004": "`RETRY_DELAYS` is too long, or one of its delays is out of range.",
    "E005": "An entry of `ENCRYPTION_KEYS` is not a Fernet key.",
    "E006": "An entry of `ALLOWED_CIDRS` is not a network.",
    "E007": "An entry of `ALLOWED_HOSTS` is not a host.",
    "E008": "`QUEUE` leads to no queue class.",
    "E009": "`TMS_WEBHOOKS_ORGANIZATION_MODEL` names a model that does not exist.",
    "E010": "`SECRET_OVERLAP` is above `SECRET_OVERLAP_LIMIT`.",
    "W011": "A setting of its own looks like one of this app's.",
    "W012": "`HEARTBEAT` is too long for `LEASE`.",
    "W013": "`RETRY_DELAYS` goes on for longer than `DELIVERY_LIFETIME`.",
    "W014": "`TELEMETRY` lists something whose package is not installed.",
    "E015": "`ACCESS_POLICY` leads to no access policy.",
    "E016": "`ORGANIZATION_PARENT` does not lead from an organization to its parent.",
    # The queue; raised by queues/django_q.py
    "E020": "django-q2 is the queue, but not installed.",
    "W021": "django-q2 would run a drain twice.",
    "W022": "django-q2's ORM broker connects to the database anew for every task.",
    "W023": "psycopg's connection pool does not survive django-q2's fork.",
    "W024": "django-q2 runs tasks in the process that asks for them.",
    "W025": "django-q2 would kill a drain before its end.",
    "W026": "django-q2 has one worker, which a drain takes.",
    # Sources: what the host declares of its models
    "E030": "A source is declared in the wrong form.",
    "E031": "`fields` names something that is no field and no reference of the noun.",
    "E032": "A path leads nowhere.",
    "E033": "A path leads through many objects.",
    "E034": "A field that payloads must have was not found on the model.",
    "E035": "`organization` does not lead to the organization model.",
    "E036": "`learner_organization` does not lead to the organization model.",
    "E037": "A rule watches a field that is not in the object's own row.",
    "E040": "`statuses` names something that is no status of the noun.",
    "E041": "A value in `statuses` is no status.",
    "E042": "A value that the host's field admits has no status.",
    "E043": "A rule names an event that is not in the catalogue.",
    "E044": "A rule names an event of another noun.",
    "E045": "A rule watches a field that the noun does not have.",
    "E046": "A rule waits for a status that does not exist.",
    "W047": "An event is never told, because the model lacks a field.",
    "W048": "Two sources tell the same event of one model.",
    "W049": "The date that expiry scans read has no index.",
    "E050": "`path_model` of a computed learning path is missing or names no model.",
    "E051": "`path_courses` or `path_enabled` of a computed learning path names no such field.",
    "W052": "A model lives in another database than the outbox.",
    "I053": "No model is registered as a source.",
    "W054": "A manager of a registered model makes querysets whose bulk operations tell nobody.",
    "W055": "Django itself changes a registered model by a queryset that tells nobody.",
    "W056": "The database itself deletes or changes rows of a registered model.",
    "E057": "`assignment` of a source of activities leads to no registered model of course assignments.",
    "W058": "The rows of a registered model can be changed as those of one that is not.",
    "W059": "Two models of one noun have the same ids.",
    # The environment
    "W060": "SQLite begins its transactions as readers.",
    "W061": "SQLite runs without write-ahead log.",
    "W062": "SQLite gives up waiting for a lock too soon.",
    "W063": "`ActorMiddleware` stands before the middleware that knows the user.",
    "W064": "`USE_TZ` is off.",
    # With --deploy
    "W070": "Secrets are encrypted with a key derived from `SECRET_KEY`.",
    "W071": "Webhooks may use unencrypted HTTP.",
    "W072": "The address check is switched off for the whole internet.",
    "I073": "Some hosts are exempt from the address check.",
    "W074": "A payload that breaks its schema fails the host's own save.",
    "W075": "The clock of this machine is another one than the database's.",
}
"""Ids without their prefix: E for errors, W for warnings, I for information. A retired one is never used again."""


def message(number: str, text: str, *, hint: str, obj: object = None) -> CheckMessage:
    """Make the message of the id ``number``, such as "E031". ``hint`` is the remedy; ``obj`` is what it is about."""
    if number not in MEANINGS:
        raise KeyError(number)
    return _CLASSES[number[0]](text, hint=hint, obj=obj, id=f"{PREFIX}.{number}")


def shorten(value: object, *, longest: int = 60) -> str:
    """Return ``value`` as Python writes it, cut to a length that a person reads."""
    text = repr(value)
    return text if len(text) <= longest else text[: longest - 1] + "…"
