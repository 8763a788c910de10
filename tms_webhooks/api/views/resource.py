"""The base classes of all viewsets: scope, permissions, transactions, idempotency and response headers."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from functools import cache, partial
from typing import Any, ClassVar

from django.core.exceptions import ValidationError
from django.db import DatabaseError, models, router, transaction
from django.utils import timezone
from django.utils.functional import cached_property
from rest_framework.exceptions import NotFound, PermissionDenied
from rest_framework.permissions import SAFE_METHODS, BasePermission
from rest_framework.response import Response
from rest_framework.reverse import reverse
from rest_framework.viewsets import GenericViewSet

from tms_webhooks import exception_reports
from tms_webhooks.access import AccessPolicy, covers, get_policy, within
from tms_webhooks.actors import Actor
from tms_webhooks.api import problems, safe_writes
from tms_webhooks.api.filters import ListFilter, read_parameters, visible_webhooks
from tms_webhooks.api.json_format import CompactJSONRenderer, JSONNegotiation, StrictJSONParser
from tms_webhooks.api.pagination import SealedCursorPagination
from tms_webhooks.api.safe_writes import etag_of, require_match
from tms_webhooks.api.schema.resources import ResourceSchema
from tms_webhooks.choices import Action
from tms_webhooks.models import Webhook
from tms_webhooks.models.idempotency import IdempotentRequest, digest_of
from tms_webhooks.models.public_ids import uid_of


class HasWebhookAccess(BasePermission):
    """Allows callers who may view the webhooks of at least one organization. The views check all other permissions."""

    message = "Your account or key has access to no organization's webhooks."

    def has_permission(self, request: Any, view: Any) -> bool:
        """Return the policy's answer, or False for an anonymous caller without asking the policy."""
        if request.auth is None and not getattr(request.user, "is_authenticated", False):
            return False
        return bool(view.organizations(Action.VIEW).exists())


class ResourceViewSet(GenericViewSet):
    """A resource whose rows belong to organizations. A row that the caller may not view does not exist for the caller.

    A subclass sets:

    - ``organization_path``: the lookup from a row to its organization.
    - ``needs``: the policy action that each view action requires in addition to viewing; see `needed` for the default.

    An action writes to the database in `commit`.
    """

    renderer_classes = (CompactJSONRenderer,)
    parser_classes = (StrictJSONParser,)
    content_negotiation_class = JSONNegotiation
    permission_classes = (HasWebhookAccess,)
    pagination_class: Any = SealedCursorPagination
    filter_backends = ()
    metadata_class = None
    versioning_class = None
    schema = ResourceSchema()

    # Any text, so that an unknown id has the same answer in each form.
    lookup_value_regex = "[^/]+"

    heading: ClassVar[str]
    """The tag of these actions in the OpenAPI document."""
    row_kind: ClassVar[str] = ""
    """The word for one row, such as "webhook", in the error for an unknown id; "" if the URL holds no id of a row."""
    organization_path: ClassVar[str] = "organization"
    needs: ClassVar[Mapping[str, Action]] = {}
    own_only: ClassVar[Collection[str]] = ()
    """The actions that need no right in the child organizations that a webhook includes, or check it themselves."""
    parameters: ClassVar[Mapping[str, Sequence[Any]]] = {}
    """The parameters of each action, except those of pages, filters and headers."""
    list_filters: ClassVar[Mapping[str, ListFilter]] = {}
    """The filters of the list of rows, by the names of their parameters."""
    paged: ClassVar[Collection[str]] = ()
    """The actions that return pages, except lists of rows."""
    ordering: ClassVar[tuple[str, ...]] = ("-pk",)
    """The default order of a list."""

    takes_idempotency_keys = True
    counts_deliveries = False
    """Whether the answer has the numbers of a job's deliveries."""

    chosen: Mapping[str, Any]
    """What the parameters of a list choose, by their names."""

    _locked: Webhook | None = None
    """The webhook that this request changes."""

    _idempotent_request: IdempotentRequest | None = None
    """The row of this request's idempotency key, until its response is stored."""

    @cached_property
    def policy(self) -> AccessPolicy:
        """The host's access policy."""
        return get_policy()

    @property
    def actor(self) -> Actor:
        """The caller, as the verbs of `tms_webhooks.manage` record it."""
        return self.policy.caller(self.request)

    @cached_property
    def caller_scope(self) -> str:
        """A digest that identifies the caller. Callers of different kinds, such as users and API keys, may have the same id."""
        caller, user = self.actor, type(self.request.user)
        return digest_of(caller.kind, caller.id or "", f"{user.__module__}.{user.__qualname__}")

    @cached_property
    def organizations(self) -> Callable[[Action], models.QuerySet[Any]]:
        """Returns the organizations in which the caller may do an action; the policy is asked once per request."""
        return cache(partial(self.policy.organizations, self.request))

    def allows(self, action: Action, organization: Any) -> bool:
        """Return whether the caller may do ``action`` in the organization with this primary key."""
        right = "organization", str(organization), str(action)
        if right not in self._rights and self.organizations(action).filter(pk=organization).exists():
            self._rights.add(right)
        return right in self._rights

    @property
    def needed(self) -> Action | None:
        """The policy action that this request requires in addition to viewing. By default, unsafe methods require `MANAGE`."""
        unsafe = Action.MANAGE if self.request.method not in SAFE_METHODS else None
        return self.needs.get(str(self.action), unsafe)

    def require(self, action: Action | None, organization: Any) -> None:
        """Raise ``PermissionDenied`` unless the caller may do ``action`` in this organization, which the caller may view."""
        if action is not None and not self.allows(action, organization):
            raise PermissionDenied(f"You may view this object, but you lack the permission {action.value!r}.")

    def check(self, webhook: Webhook, *, lock: bool = False) -> None:
        """Raise ``PermissionDenied`` unless the caller may do this action in all organizations that a webhook covers.

        With ``lock``, raise a `Problem` unless the webhook is in the state of ``If-Match``; the response has the new state.
        """
        self.require(self.needed, webhook.organization_id)
        if self.needed is not None and self.action not in self.own_only:
            self.require_children(self.needed, webhook)
        if lock:
            require_match(self.request, webhook)
            self._locked = webhook

    def require_children(self, action: Action, webhook: Webhook) -> None:
        """Raise ``PermissionDenied`` if a webhook includes child organizations and the caller may not do ``action`` in each."""
        if not covers(self.organizations(action), webhook):
            raise PermissionDenied(
                f"The webhook includes child organizations, and you lack the permission {action.value!r} in one of them. "
                "Set include_children to false, or ask for the permission."
            )
        if webhook.include_children:
            self._rights.add(("webhook", str(webhook.pk), str(action)))

    def get_queryset(self) -> models.QuerySet[Any]:
        """Return the rows that the caller may view."""
        return within(super().get_queryset(), self.organizations(Action.VIEW), path=self.organization_path)

    def filter_queryset(self, queryset: Any) -> Any:
        """Return the rows that the parameters of a list keep."""
        return queryset.filter(*self.chosen.values())

    def get_object(self, *, lock: bool = False) -> Any:
        """Return the row of the URL; raise ``PermissionDenied`` if the caller may not do this action with it.

        With ``lock``, the row is locked until the transaction ends.

        Raise a `Problem` for a row that does not exist and, after the same queries, for one that the caller may not
        view.
        """
        row = self.find(self.get_queryset(), self.kwargs["pk"], self.row_kind, lock=lock)
        self.check(row if isinstance(row, Webhook) else row.webhook, lock=lock)
        return row

    def find(self, rows: Any, key: str, kind: str, *, lock: bool = False) -> Any:
        """Return the row with this id; raise a `Problem` if these rows have none. With ``lock``, its row alone is locked."""
        if lock:
            rows = rows.select_related(None).select_for_update()
        row = rows.filter(rows.model.by_public_id(key)).first()
        if row is None:
            raise problems.Problem("not-found", f"No {kind} has the id {key[: problems.MAX_SHOWN]}.")
        return row

    def after(self, verb: Callable[..., None]) -> Any:
        """Return the row of the URL, which is locked, after a verb of `tms_webhooks.manage`."""
        row = self.get_object(lock=True)
        verb(row, actor=self.actor, now=timezone.now())
        return row

    def find_organization(self, key: Any, location: str, name: str) -> None:
        """Raise the same `Problem` for each key, of any form, that no organization has which the caller may view."""
        with suppress(ValidationError, ValueError, OverflowError):
            if self.organizations(Action.VIEW).filter(pk=key).exists():
                return
        detail = "Unknown organization; use the id of one of yours."
        raise problems.problem_at(location, name, "unknown", detail, kind="not-found")

    def read(self, serializer_class: Any) -> dict[str, Any]:
        """Return the validated body; raise ``ValidationError`` with all errors."""
        serializer = serializer_class(data=self.request.data, context=self.get_serializer_context())
        serializer.is_valid(raise_exception=True)
        return dict(serializer.validated_data)

    def response_of(self, answer: Any, found: Any, *, is_new: bool = False) -> Response:
        """Return the response with an object, written by a serializer, and with its URL if it is new; a response as it is.

        Of several answers by their status, it is the first.
        """
        if isinstance(found, Response):
            return found
        code, written_by = next(iter(answer.items())) if isinstance(answer, Mapping) else (None, answer)
        data = None if found is None else written_by(found, context=self.get_serializer_context()).data
        response = Response(data, status=code)
        if is_new:
            response["Location"] = self.url_of(f"{self.basename}-detail", **{**self.kwargs, "pk": found.public_id})
        return response

    def commit(self, work: Callable[[], Response]) -> Response:
        """Run ``work`` in a transaction, store its response for the idempotency key there, and return the response."""
        with transaction.atomic(using=router.db_for_write(Webhook)):
            response = work()
            if self._locked is not None and response.data is not None and "ETag" not in response:
                response["ETag"] = etag_of(self._locked)
            self._store_response(response)
        # After the COMMIT: if that fails, `handle_exception` has to release the key.
        self._idempotent_request = None
        return response

    def url_of(self, name: str, /, **kwargs: Any) -> str:
        """Return the absolute URL of a route, such as ``job-detail``, in the namespace of this request."""
        match: Any = self.request.resolver_match
        return reverse(":".join([*match.namespaces, name]), kwargs=kwargs, request=self.request)

    # Hooks of Django REST framework

    def initialize_request(self, request: Any, *args: Any, **kwargs: Any) -> Any:
        """Keep the body out of exception reports: it may hold header values."""
        exception_reports.mark(request)
        # The rights that this request used: an organization and an action that the policy allowed there. Or a webhook and an
        # action that it allowed in each child organization that the webhook includes.
        self._rights: set[safe_writes.Right] = set()
        return super().initialize_request(request, *args, **kwargs)

    def initial(self, request: Any, *args: Any, **kwargs: Any) -> None:
        """Check the caller and the query parameters, and claim the idempotency key."""
        super().initial(request, *args, **kwargs)
        # An unsupported method has no action; `dispatch` rejects it after this.
        if getattr(self, "action", None) is None:
            return
        self.chosen = read_parameters(request, self)
        if request.method != "POST" or not self.takes_idempotency_keys:
            return
        claimed = safe_writes.claim(request, self.actor, scope=self.caller_scope, now=timezone.now())
        if claimed is None or claimed.status_code is None:
            self._idempotent_request = claimed
            return
        # For a caller who still has the rights that the response needed. Those of organizations first, as they are stored: a
        # caller who may not view the webhook any more gets 404.
        for owner, key, action in claimed.rights:
            if owner == "webhook":
                for webhook in Webhook.objects.filter(pk=key):
                    self.require_children(Action(action), webhook)
            elif not self.allows(Action.VIEW, key):
                raise NotFound
            else:
                self.require(Action(action), key)
        raise safe_writes.RequestReplayed(safe_writes.stored_response(claimed))

    def handle_exception(self, exc: Exception) -> Response:
        """Return a problem and release the idempotency key, because nothing was changed."""
        if isinstance(exc, safe_writes.RequestReplayed):
            return exc.args[0]
        if self._idempotent_request is not None:
            # Without a database connection, the key expires by itself.
            with suppress(DatabaseError):
                self._idempotent_request.release()
            self._idempotent_request = None
        return super().handle_exception(exc)

    def finalize_response(self, request: Any, response: Any, *args: Any, **kwargs: Any) -> Any:
        """Store the response of an action that did not use `commit`, and forbid caches to store any response."""
        if isinstance(response, Response):
            self._store_response(response)
            response.headers.setdefault("Cache-Control", "no-store")
        return super().finalize_response(request, response, *args, **kwargs)

    def get_authenticate_header(self, request: Any) -> Any:
        """Return the first challenge of the authenticators. Sessions have none, but API keys after them may have one."""
        challenges = (authenticator.authenticate_header(request) for authenticator in self.get_authenticators())
        return next((challenge for challenge in challenges if challenge), None)

    def get_exception_handler(self) -> Callable[..., Response | None]:
        return problems.exception_handler

    def _store_response(self, response: Response) -> None:
        if self._idempotent_request is not None and not response.exception:
            safe_writes.store_response(self._idempotent_request, response, self._rights)


class WebhookPartViewSet(ResourceViewSet):
    """The rows of one kind that belong to the webhook in the URL."""

    organization_path = "webhook__organization"

    def get_queryset(self) -> models.QuerySet[Any]:
        """Return the visible rows of the webhook in the URL."""
        return super().get_queryset().filter(webhook__uid=uid_of(self.kwargs["webhook_id"], Webhook.PUBLIC_PREFIX))

    def webhook(self, *, lock: bool = False) -> Webhook:
        """Return the webhook of the URL; with ``lock``, lock its row and require the state in ``If-Match``.

        Raise a `Problem` for one that the caller may not view, and ``PermissionDenied`` without the right of this
        action.
        """
        rows = visible_webhooks(self).existing()
        webhook: Webhook = self.find(rows, self.kwargs["webhook_id"], "webhook", lock=lock)
        self.check(webhook, lock=lock)
        return webhook
