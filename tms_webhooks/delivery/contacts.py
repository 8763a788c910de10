"""Who is notified of webhooks: their own contacts, and the addresses that the host's function CONTACTS returns."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from typing import Any, NamedTuple

from django.utils.module_loading import import_string

from tms_webhooks import validators
from tms_webhooks.choices import NoticeChannel
from tms_webhooks.conf import SETTING_NAME, app_settings
from tms_webhooks.exceptions import ConfigurationError
from tms_webhooks.models import Webhook
from tms_webhooks.models.notification import lines_of

logger = logging.getLogger(__name__)


class Recipients(NamedTuple):
    """Who is notified of the webhooks of one organization: people by the webhook's key, and the channels of its chats."""

    people: Mapping[int, Sequence[str]]
    chats: Collection[NoticeChannel] = ()


def recipients_of(webhooks: Sequence[Webhook]) -> Recipients:
    """Return who is notified of these webhooks of one organization.

    People are the webhook's own contacts, or else those that the host's CONTACTS returns. If that function fails, which is
    logged, they are the own contacts alone.
    """
    organization = webhooks[0].organization
    try:
        shared = host_addresses(organization)
    except Exception:
        logger.exception("CONTACTS failed for organization=%s.", organization.pk)
        shared = {}
    found = [str(one) for one in shared.get(NoticeChannel.EMAIL, ())]
    people = {webhook.pk: (lines_of(webhook.contacts) or found)[: validators.CONTACTS_LIMIT] for webhook in webhooks}
    return Recipients(people, [one for one in (NoticeChannel.SLACK, NoticeChannel.TEAMS) if shared.get(one)])


def host_addresses(organization: Any) -> Mapping[str, Any]:
    """Return what the host's CONTACTS returns for an organization, by channel: e-mail addresses, and a URL for each chat."""
    function = contacts_function()
    found = function(organization) if function else {}
    return found if isinstance(found, Mapping) else {NoticeChannel.EMAIL: found}


def contacts_function() -> Callable[[Any], Any] | None:
    """Return the function that the setting ``CONTACTS`` names, or None. Raise `ConfigurationError` if it is no function."""
    path, function = app_settings.CONTACTS, None
    with suppress(ImportError):
        function = import_string(path)
    if path and not callable(function):
        raise ConfigurationError(
            f"{SETTING_NAME}['CONTACTS'] is {path!r}, which is not a function that can be imported.",
            number="E093",
            hint="Write the dotted path of a function that takes an organization and returns a list of e-mail addresses, "
            "or remove the setting.",
        )
    return function
