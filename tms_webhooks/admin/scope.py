"""Who may do what on a page: the site decides which operations, the access policy in which organizations."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any

from django.db.models import QuerySet
from django.http import HttpRequest

from tms_webhooks.access import covers, get_policy
from tms_webhooks.choices import Action
from tms_webhooks.models import Webhook

VISIT_KEY = "_tms_webhooks_visit"
"""The attribute of a request to a customers' site with its `CustomerVisit`."""
_CACHE = "_tms_webhooks_access"


@dataclass(frozen=True, slots=True)
class CustomerVisit:
    """What a customers' site knows about a request.

    ``permits`` takes the request and the codename of a permission. ``organizations`` has the keys of the only
    organizations that the visit may see, or is None without such a limit.
    """

    permits: Callable[[HttpRequest, str], bool]
    organizations: Collection[Any] | None = None


def permits(request: HttpRequest, codename: str) -> bool:
    """Return whether the site lets the user do an operation, such as "change_webhook", in any organization.

    Staff need Django's permission. On a customers' site only the access policy decides. The sites differ only here.
    """
    visit: CustomerVisit | None = getattr(request, VISIT_KEY, None)
    if visit is not None:
        return visit.permits(request, codename)
    return bool(request.user.has_perm(f"tms_webhooks.{codename}"))


def may_view_webhooks(request: HttpRequest) -> bool:
    """Return whether the site lets the user view webhooks, on pages of other models."""
    return permits(request, "view_webhook") or permits(request, "change_webhook")


def organizations(request: HttpRequest, action: Action) -> QuerySet[Any]:
    """Return the organizations in which the user may do ``action``. The policy is called once per request and action."""
    cached = _cache_of(request)
    if action not in cached:
        keys = getattr(getattr(request, VISIT_KEY, None), "organizations", None)
        allowed = get_policy().organizations(request, action)
        cached[action] = allowed if keys is None else allowed.filter(pk__in=keys)
    rows: QuerySet[Any] = cached[action].all()
    return rows


def allowed_keys(request: HttpRequest, action: Action) -> QuerySet[Any]:
    """Return the keys of these organizations, for the filter of another query."""
    return organizations(request, action).order_by().values("pk")


def sees_all(request: HttpRequest, action: Action) -> bool:
    """Return whether the user may do ``action`` in every organization."""
    rows = organizations(request, action)
    return not rows.model._base_manager.exclude(pk__in=allowed_keys(request, action)).exists()


def allowed_among(request: HttpRequest, action: Action, organization_ids: Collection[Any]) -> set[Any]:
    """Return those of these organizations in which the user may do ``action``, in one query for all."""
    cached = _cache_of(request)
    unknown = {key for key in organization_ids if (action, key) not in cached}
    if unknown:
        found = set(organizations(request, action).filter(pk__in=unknown).values_list("pk", flat=True))
        cached.update({(action, key): key in found for key in unknown})
    return {key for key in organization_ids if cached[action, key]}


def allows(request: HttpRequest, action: Action, organization_id: Any) -> bool:
    """Return whether the user may do ``action`` in this organization."""
    return bool(allowed_among(request, action, [organization_id]))


def allows_anywhere(request: HttpRequest, action: Action) -> bool:
    """Return whether the user may do ``action`` in at least one organization. Asked once per request and action."""
    cached, key = _cache_of(request), ("anywhere", action)
    if key not in cached:
        cached[key] = organizations(request, action).exists()
    return bool(cached[key])


def may_view_payloads(request: HttpRequest, webhook: Webhook) -> bool:
    """Return whether the user may view the payloads of a webhook."""
    return permits(request, "view_event") and allows(request, Action.VIEW_PAYLOAD, webhook.organization_id)


def covers_children(request: HttpRequest, action: Action, webhook: Webhook) -> bool:
    """Return whether the user may do ``action`` in each child organization that a webhook includes."""
    return covers(organizations(request, action), webhook)


def _cache_of(request: HttpRequest) -> dict[Any, Any]:
    cached: dict[Any, Any] = request.__dict__.setdefault(_CACHE, {})
    return cached
