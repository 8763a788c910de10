"""API keys of organizations, in addition to sessions and tokens of users."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from drf_spectacular.authentication import OpenApiAuthenticationExtension
from rest_framework.authentication import BaseAuthentication
from rest_framework.exceptions import AuthenticationFailed
from rest_framework_api_key.permissions import KeyParser

from example_project.training.models import ApiKey, Organization

REFUSED = "The API key is unknown, revoked or expired."


@dataclass(frozen=True, slots=True)
class System:
    """The caller with an API key: not a user, but an organization and a name."""

    pk: str
    """The beginning of the key: enough to distinguish keys, but not to use one."""
    name: str
    organization: Organization

    is_authenticated: ClassVar[bool] = True
    is_active: ClassVar[bool] = True
    is_staff: ClassVar[bool] = True
    is_superuser: ClassVar[bool] = False

    def __str__(self) -> str:
        return self.name


def system_with(given: str) -> tuple[System, ApiKey]:
    """Return the system behind a key. Raises `AuthenticationFailed` if the key is unknown, revoked or expired."""
    try:
        key = ApiKey.objects.get_from_key(given)
    except ApiKey.DoesNotExist:
        raise AuthenticationFailed(REFUSED) from None
    if key.has_expired:
        raise AuthenticationFailed(REFUSED)
    return System(key.prefix, key.name, key.organization), key


class BearerParser(KeyParser):
    """Reads a key after ``Bearer``."""

    keyword = "Bearer"


class ApiKeyAuthentication(BaseAuthentication):
    """Takes ``Authorization: Api-Key <key>``, or ``Bearer <key>``, which is all that many programs can send."""

    parser = KeyParser()

    def authenticate(self, request: Any) -> tuple[System, ApiKey] | None:
        """Return the system behind the key; None for a request that comes without one."""
        given = self.parser.get(request)
        if given is None:
            given = BearerParser().get(request)
        return None if given is None else system_with(given)

    def authenticate_header(self, request: Any) -> str:
        """Return the value of WWW-Authenticate for a request without credentials."""
        return self.parser.keyword


class ApiKeyScheme(OpenApiAuthenticationExtension):
    """Describes the key in the API's OpenAPI document."""

    target_class = ApiKeyAuthentication
    name = "apiKey"

    def get_security_definition(self, auto_schema: Any) -> dict[str, str]:
        """Return the security scheme in OpenAPI's format."""
        return {
            "type": "apiKey",
            "in": "header",
            "name": "Authorization",
            "description": "A key of an organization, as `Api-Key <key>` or `Bearer <key>`.",
        }
