"""The ids of all checks with their meanings, and the function that builds their messages."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Mapping

from django.core import checks
from django.core.checks import CheckMessage

from tms_webhooks import validators
from tms_webhooks.documents.sources import documented_class, page_of
from tms_webhooks.event_names import did_you_mean
from tms_webhooks.exceptions import ConfigurationError
from tms_webhooks.sources.base import Source

PREFIX = "tms_webhooks"

_CLASSES: Mapping[str, Callable[..., CheckMessage]] = {"E": checks.Error, "W": checks.Warning, "I": checks.Info}

DEPLOY_MEANINGS: Mapping[str, str] = {
    "W070": "Secrets are encrypted with a key derived from `SECRET_KEY`.",
    "W071": "Webhooks may use unencrypted HTTP.",
    "W072": "The address check is off for all addresses.",
    "W074": "A payload that breaks its schema makes the host's save fail.",
    "W075": "The clock of this machine differs from the database's clock.",
    "I076": "Requests are sent without libcurl.",
    "W077": "Some stored secrets can't be decrypted.",
    "I078": "Some stored secrets need another key than the newest.",
    "W094": "No one can be notified of a webhook that fails.",
    "W095": "Notifications have a sender that mail servers refuse.",
}
"""Of checks that run with ``--deploy`` only."""

DATABASE_MEANINGS: Mapping[str, str] = {
    "W100": "A row has a status that the source can't read.",
}
"""Of checks that run with ``--database`` only."""

MEANINGS: Mapping[str, str] = {
    # Settings
    "E001": "`TMS_WEBHOOKS` is not a dictionary.",
    "E002": "`TMS_WEBHOOKS` has an unknown setting.",
    "E003": "A setting has a value of the wrong kind.",
    "E004": "`RETRY_DELAYS_SECONDS` is too long, or one of its delays is out of range.",
    "E005": "An entry of `ENCRYPTION_KEYS` is not a Fernet key.",
    "E006": "An entry of `UNCHECKED_CIDRS` is not a network.",
    "E007": "An entry of `UNCHECKED_HOSTS` is not a host.",
    "E008": "`QUEUE` does not name a queue class.",
    "E009": "`TMS_WEBHOOKS_ORGANIZATION_MODEL` names a model that does not exist.",
    "E010": "A setting is above another one that limits it.",
    "W011": "A Django setting looks like a misplaced setting of this app.",
    "W013": "`RETRY_DELAYS_SECONDS` adds up to more than `DELIVERY_LIFETIME_SECONDS`.",
    "W014": "`TELEMETRY` lists an entry whose package is not installed.",
    "E015": "`ACCESS_POLICY` does not name an access policy.",
    "E016": "`ORGANIZATION_PARENT` is not a foreign key of the organization model to itself.",
    "E017": "`TRANSPORT` is 'curl', and pycurl is not installed.",
    "E018": "`PROXY_URL` is not a proxy's URL.",
    "W019": "The folder for the counters of several processes is missing, or can't be written.",
    "E093": "`CONTACTS` does not name a function.",
    # The queue; raised by the modules of queues/
    "E020": "django-q2 is the queue, but is not installed.",
    "W021": "django-q2 would run a drain twice.",
    "W022": "django-q2's ORM broker opens a new database connection for each task.",
    "E024": "The queue runs tasks in the process that enqueues them.",
    "W025": "django-q2 would kill a drain before it ends.",
    "W026": "django-q2 has one worker, which a drain occupies.",
    "E027": "The backend of Django's tasks runs no tasks, or can't run them at a later time.",
    "E028": "Celery is the queue, but has no broker.",
    "E029": "A package of Celery's broker is not installed.",
    # Sources
    "E030": "An attribute of a source has the wrong type.",
    "E031": "`fields` has a name that is neither a field nor a reference of the noun.",
    "E032": "A path does not exist.",
    "E033": "A path leads through many objects.",
    "E034": "The model lacks a field that payloads require.",
    "E035": "`owner` or `learner` does not lead to the organization model.",
    "E037": "A rule watches a field that is not a column of the model itself.",
    "W039": "The deadline is a date without a time, and the source names no time zone.",
    "E040": "`statuses` has a name that is not a status of the noun.",
    "E041": "A value in `statuses` is not a status.",
    "E042": "A value of the host's field has no status.",
    "E043": "A rule names an event that is not in the catalogue.",
    "E045": "A rule watches a field that the noun does not have.",
    "E046": "A rule waits for a status that does not exist.",
    "W047": "An event is never emitted, because the model lacks a field.",
    "W048": "Two sources emit the same event for one model.",
    "W049": "The date column of the expiry scans has no index.",
    "W052": "A model is in another database than the outbox, so that none of its events is sent.",
    "I053": "No model is registered as a source.",
    "W054": "A bulk operation of a registered model may emit no events.",
    "W056": "The database itself deletes or changes rows of a registered model.",
    "E057": "`assignment` of an activity source does not lead to a registered model of course assignments.",
    "W058": "The rows of a registered model can be changed through a parent that is not registered.",
    "W059": "Two models of one noun can have the same ids.",
    "E085": "A path in `only`, or one that a `Computed` reads, leads to no column.",
    "E086": "A source of a noun that has one owner names several.",
    "E088": "A field that payloads require may be null.",
    "W066": "The default manager of a registered model hides rows, and the source does not leave them out.",
    "W089": "An attribute of a source's class looks like a misspelled one.",
    "W092": "A name or a date is null in every payload of a source.",
    "W102": "A boolean of the noun is mapped to a column that means the opposite.",
    "W103": "A field of the payload may be a password or another secret.",
    "E090": "A path in `ORGANIZATION_FIELDS` does not exist.",
    "W091": "An organization's name or external id is null in payloads.",
    # The host's own fields and events
    "E080": "An entry of `custom` has the wrong form.",
    "E081": "The kind of a field in `custom` is missing.",
    "W084": "The sample of an event type breaks its schema.",
    # The environment
    "W060": "SQLite transactions begin without a write lock.",
    "W061": "SQLite runs without the write-ahead log.",
    "W062": "SQLite gives up waiting for a lock too soon.",
    "W063": "`ActorMiddleware` runs before the authentication middleware.",
    "E064": "`USE_TZ` is off.",
    # The customers' site
    "W096": "The project has a customers' site and the default access policy, which admits superusers only.",
    "W097": "`FRAME_ANCESTORS` is set, and cookies are not sent to embedded pages of other sites.",
    **DEPLOY_MEANINGS,
    **DATABASE_MEANINGS,
}
"""Ids without their prefix: E for errors, W for warnings, I for information. A retired id is never used again."""


REFERENCE = "\n\tSee {} in docs/reference/sources/{}.md, or in manage.py webhooks_catalogue --format sources."
"""The end of each hint about a source."""


def message(number: str, text: str, *, hint: str, obj: object = None) -> CheckMessage:
    """Return the message with the id ``number``, such as "E031". ``hint`` is the remedy; ``obj`` is the subject.

    The hint of a message about a source ends with the section of the reference about its class.
    """
    if number not in MEANINGS:
        raise KeyError(number)
    if isinstance(obj, Source):
        documented = documented_class(obj)
        hint += REFERENCE.format(documented.__name__, page_of(documented))
    return _CLASSES[number[0]](text, hint=hint, obj=obj, id=f"{PREFIX}.{number}")


def message_of(error: ConfigurationError, source: Source | None = None) -> CheckMessage:
    """Return a mistake in a setting or a source as a message."""
    return message(error.number, str(error), hint=error.hint, obj=source)


def nearest(word: object, known: Iterable[str]) -> str:
    """Return a "Did you mean" question with the names that are similar to ``word``, or an empty text."""
    return did_you_mean(difflib.get_close_matches(str(word), [*known]))


def shorten(value: object) -> str:
    """Return ``repr(value)``, cut to at most 60 characters."""
    return validators.shorten(repr(value))
