"""What all resources share: scope, permissions, transactions, and the manners of an answer."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any, ClassVar

from django.db import DatabaseError, models, router, transaction
from django.utils import timezone
from django.utils.functional import cached_property
from rest_framework import status
from rest_framework.exceptions import PermissionDenied
from rest_framework.permissions import SAFE_METHODS
from rest_framework.response import Response
from rest_framework.reverse import reverse
from rest_framework.viewsets import GenericViewSet

from tms_webhooks.access import AccessPolicy, Rows, get_policy, within
from tms_webhooks.api import idempotency, problems
from tms_webhooks.api.bodies import PlainJSONRenderer, PlainNegotiation, StrictJSONParser
from tms_webhooks.api.filters import StrictFilterBackend, refuse_unknown_parameters
from tms_webhooks.api.pagination import BoundCursorPagination
from tms_webhooks.api.permissions import HasAccess
from tms_webhooks.api.schema.resources import ResourceSchema
from tms_webhooks.choices import Action, AuditAction
from tms_webhooks.models import AuditEntry, Webhook
from tms_webhooks.models.idempotency import IdempotentRequest, digest_of

# Its class is generic for the type checker alone.
if TYPE_CHECKING:
    _GenericViewSet = GenericViewSet[Any]
else:
    _GenericViewSet = GenericViewSet

KEY = "[0-9]{1,18}"
"""The form of our own keys in an address: no key has more digits, and no database takes them."""


class ResourceViewSet(_GenericViewSet):
    """A resource of which every caller sees their own organizations' part, and of the rest not even that it is there.

    Set ``organization_path``, the way from a row to its organization, and ``needs``, what a caller must be allowed to do
    for each action beside viewing, if that is not what `needed` says. What an action writes, it writes in `commit`.
    """

    renderer_classes = (PlainJSONRenderer,)
    parser_classes = (StrictJSONParser,)
    content_negotiation_class = PlainNegotiation
    permission_classes = (HasAccess,)
    pagination_class: Any = BoundCursorPagination
    filter_backends = (StrictFilterBackend,)
    filterset_class: ClassVar[Any] = None
    metadata_class = None
    versioning_class = None
    lookup_value_regex = KEY
    schema = ResourceSchema()

    heading: ClassVar[str]
    """The heading of these actions in the OpenAPI document."""
    organization_path: ClassVar[str] = "organization"
    needs: ClassVar[Mapping[str, Action]] = {}
    parameters: ClassVar[Mapping[str, Collection[str]]] = {}
    """The query parameters of actions, except those of pages and filters."""
    paged: ClassVar[Collection[str]] = ()
    """The actions that answer with pages, but for ``list``."""
    ordering: ClassVar[tuple[str, ...]] = ("-pk",)
    """The order of a list where the caller asks for none."""

    _claimed: IdempotentRequest | None = None

    @cached_property
    def _allowed(self) -> dict[Action, models.QuerySet[Any]]:
        return {}

    @cached_property
    def policy(self) -> AccessPolicy:
        """The host's access policy."""
        return get_policy()

    @cached_property
    def caller_scope(self) -> str:
        """What tells the caller from all others: also from one of another kind, such as a key, that has the same id."""
        caller, user = self.policy.caller(self.request), type(self.request.user)
        return digest_of(caller.kind, caller.id or "", f"{user.__module__}.{user.__qualname__}")

    def organizations(self, action: Action) -> models.QuerySet[Any]:
        """Return the organizations in which the caller may do ``action``: the policy is asked once a request."""
        if action not in self._allowed:
            self._allowed[action] = self.policy.organizations(self.request, action)
        return self._allowed[action]

    def allows(self, action: Action, organization: Any) -> bool:
        """Return whether the caller may do ``action`` in the organization of this key."""
        return self.organizations(action).filter(pk=organization).exists()

    def scoped(self, rows: Rows, action: Action = Action.VIEW, *, path: str | None = None) -> Rows:
        """Keep the rows of organizations in which the caller may do ``action``."""
        return within(rows, self.organizations(action), path=path or self.organization_path)

    @property
    def needed(self) -> Action | None:
        """What the action of this request takes beside viewing; one that changes something takes no less than managing."""
        unsafe = Action.MANAGE if self.request.method not in SAFE_METHODS else None
        return self.needs.get(str(self.action), unsafe)

    def require(self, action: Action | None, organization: Any) -> None:
        """Raise ``PermissionDenied`` unless the caller may do ``action`` in an organization that they may view."""
        if action is not None and not self.allows(action, organization):
            raise PermissionDenied(f"You may view this, and not {action.label.lower()} here.")

    def get_queryset(self) -> models.QuerySet[Any]:
        """Return the rows that the caller may view."""
        return self.scoped(super().get_queryset())

    def get_object(self) -> Any:
        """Return the row of the address, with which the caller may do what they want to."""
        row = super().get_object()
        self.require(self.needed, self.organization_of(row))
        return row

    def organization_of(self, row: Any) -> Any:
        """Return the key of a row's organization."""
        *way, last = self.organization_path.split("__")
        for name in way:
            row = getattr(row, name)
        return getattr(row, f"{last}_id")

    def read(self, serializer_class: Any) -> dict[str, Any]:
        """Return what the body asks for, by a serializer of it; raise ``ValidationError`` with all that is wrong."""
        serializer = serializer_class(data=self.request.data, context=self.get_serializer_context())
        serializer.is_valid(raise_exception=True)
        return dict(serializer.validated_data)

    def commit(self, work: Callable[[], Response]) -> Response:
        """Do ``work`` in one transaction, with the answer that its idempotency key keeps, and return the answer."""
        with transaction.atomic(using=router.db_for_write(Webhook)):
            response = work()
            self._keep(response)
        # Only now: a COMMIT may fail, and `handle_exception` then has to release the key.
        self._claimed = None
        return response

    def audit(self, action: AuditAction, webhook: Webhook, *, target: str = "", changes: Any = None) -> None:
        """Write down what the caller did; call it in the transaction in which it is done."""
        AuditEntry.objects.record(
            action,
            actor=self.policy.caller(self.request),
            webhook=webhook,
            now=timezone.now(),
            target=target,
            changes=changes,
        )

    def address_of(self, name: str, /, **kwargs: Any) -> str:
        """Return the whole address of another resource, such as ``job-detail``, wherever the host has put this API."""
        match: Any = self.request.resolver_match
        return reverse(":".join([*match.namespaces, name]), kwargs=kwargs, request=self.request)

    # How Django REST framework calls

    def initial(self, request: Any, *args: Any, **kwargs: Any) -> None:
        """Let the caller in, and see whether their request was done before."""
        super().initial(request, *args, **kwargs)
        # A method that there is not has no action, and is refused later.
        if getattr(self, "action", None) is None:
            return
        refuse_unknown_parameters(request, self)
        if request.method == "POST":
            self._claimed = idempotency.claim(
                request, self.policy.caller(request), scope=self.caller_scope, now=timezone.now()
            )

    def handle_exception(self, exc: Exception) -> Response:
        """Answer with a problem, and give an idempotency key back: nothing was done."""
        if isinstance(exc, idempotency.AnsweredBefore):
            return exc.response
        if self._claimed is not None:
            # Where the database is away, the key falls free by itself.
            with suppress(DatabaseError):
                self._claimed.release()
            self._claimed = None
        return super().handle_exception(exc)

    def finalize_response(self, request: Any, response: Any, *args: Any, **kwargs: Any) -> Any:
        """Keep the answer of what was done outside a transaction of ours, and let nobody on the way keep any."""
        if isinstance(response, Response):
            self._keep(response)
            response.headers.setdefault("Cache-Control", "no-store")
        return super().finalize_response(request, response, *args, **kwargs)

    def options(self, request: Any, *args: Any, **kwargs: Any) -> Response:
        """Answer with the methods that there are, in ``Allow``."""
        return Response(status=status.HTTP_204_NO_CONTENT)

    def get_authenticate_header(self, request: Any) -> Any:
        """Return the first challenge that there is: where sessions come first, which have none, keys have one still."""
        challenges = (authenticator.authenticate_header(request) for authenticator in self.get_authenticators())
        return next((challenge for challenge in challenges if challenge), None)

    def get_exception_handler(self) -> Callable[..., Response | None]:
        """Return ours, whichever the host's other views have."""
        return problems.answer

    def _keep(self, response: Response) -> None:
        if self._claimed is not None and not response.exception:
            idempotency.keep(self._claimed, response)
