"""The access policy: decides which actions a caller may do in which organizations. The API and the admin share it.

A host names its own class in ``TMS_WEBHOOKS["ACCESS_POLICY"]``::

    class TrainingPolicy(AccessPolicy):
        def organizations(self, request, action):
            if action == Action.REVEAL_SECRET and not request.user.is_owner:
                return Organization.objects.none()
            family = request.user.organization.with_descendants()
            return Organization.objects.filter(pk__in=[organization.pk for organization in family])

        def may_keep_hooks(self, maker, organization):
            return User.objects.filter(pk=maker.id, is_active=True, organization=organization).exists()
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

from django.apps import apps
from django.contrib.auth import get_user_model
from django.db import models
from django.utils.module_loading import import_string

from tms_webhooks.actors import Actor, actor_of
from tms_webhooks.choices import Action
from tms_webhooks.conf import SETTING_NAME, app_settings
from tms_webhooks.exceptions import ConfigurationError
from tms_webhooks.models import Event, Webhook
from tms_webhooks.models.audience import KEYS_PER_QUERY, descendants
from tms_webhooks.models.organization import organization_model

Rows = TypeVar("Rows", bound="models.QuerySet[Any]")


class AccessPolicy:
    """Decides in which organizations the caller of a request may do an action.

    Override `organizations` and `may_keep_hooks`, and `caller` if requests come from other callers than users, such as API
    keys. Each check creates a new instance: keep no state in it.
    """

    def organizations(self, request: Any, action: Action) -> models.QuerySet[Any]:
        """Return the organizations in which the caller may do ``action``, children included. By default none."""
        return _organizations().none()

    def may_keep_hooks(self, maker: Actor, organization: Any) -> bool:
        """Return whether the caller that made hooks in the organization with this key may have them now. By default True.

        Otherwise they are deleted within a minute or two. Return False for a key that was revoked. No request is involved.
        The system check W106 warns of a policy that does not override it.
        """
        return True

    def caller(self, request: Any) -> Actor:
        """Return the caller, for the audit log and to distinguish callers by their ids. By default the user."""
        return actor_of(request)


class SuperusersOnly(AccessPolicy):
    """Allows every action to superusers, and none to other users."""

    def organizations(self, request: Any, action: Action) -> models.QuerySet[Any]:
        """Return all organizations for an active superuser, and none for others."""
        user = getattr(request, "user", None)
        if getattr(user, "is_active", False) and getattr(user, "is_superuser", False):
            return _organizations()
        return super().organizations(request, action)

    def may_keep_hooks(self, maker: Actor, organization: Any) -> bool:
        """Return whether the user is an active superuser still."""
        rows: Any = get_user_model()._default_manager.filter(is_active=True, is_superuser=True)
        return bool(rows.filter(pk=maker.id).exists())


def get_policy() -> AccessPolicy:
    """Return a new instance of the host's policy; raise `ConfigurationError` if the setting names none."""
    path = app_settings.ACCESS_POLICY
    try:
        policy = import_string(path)
    except ImportError as error:
        raise _not_a_policy("can't be imported") from error
    if not isinstance(policy, type) or not issubclass(policy, AccessPolicy):
        raise _not_a_policy("is not an AccessPolicy")
    return policy()


def _not_a_policy(problem: str) -> ConfigurationError:
    return ConfigurationError(
        f"{SETTING_NAME}['ACCESS_POLICY'] is {app_settings.ACCESS_POLICY!r}, which {problem}.",
        number="E015",
        hint="Name a subclass of tms_webhooks.access.AccessPolicy, or remove the setting. By default only superusers have access.",
    )


def within(rows: Rows, organizations: models.QuerySet[Any], *, path: str = "organization") -> Rows:
    """Return the rows whose organization, found by ``path``, is one of these."""
    return rows.filter(**{f"{path}__in": organizations.order_by().values("pk")})


def covers(organizations: models.QuerySet[Any], webhook: Webhook) -> bool:
    """Return whether these organizations have all those whose events a webhook receives as one of its child organizations.

    Such a webhook reads more organizations than its own. A caller who changes or uses it needs the right in all of them.
    """
    if not webhook.include_children:
        return True
    keys = list(descendants([webhook.organization_id], using=Webhook.objects.db) - {webhook.organization_id})
    batches = (keys[start : start + KEYS_PER_QUERY] for start in range(0, len(keys), KEYS_PER_QUERY))
    return sum(organizations.order_by().filter(pk__in=some).count() for some in batches) == len(keys)


def may_view_payload(webhook: Webhook, event: Event, allows: Callable[[Action, Any], bool]) -> bool:
    """Return whether a caller may view the payload of an event at a webhook, and its receiver's responses.

    The caller needs the permission in the webhook's organization and in one that the event belongs to: the webhook may
    include child organizations. ``allows`` takes an action and the key of an organization.
    """
    own, asked = webhook.organization_id, partial(allows, Action.VIEW_PAYLOAD)
    # The webhook's own first: each other organization may be a query.
    return asked(own) and (own in event.viewers or any(map(asked, event.viewers)))


def _organizations() -> models.QuerySet[Any]:
    # The base manager: a default manager may hide organizations whose webhooks still send.
    rows: models.QuerySet[Any] = apps.get_model(organization_model())._base_manager.all()
    return rows
