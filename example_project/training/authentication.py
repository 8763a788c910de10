"""Keys of organizations as a way to call the API, beside sessions and tokens of people."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from drf_spectacular.authentication import OpenApiAuthenticationExtension
from rest_framework.authentication import BaseAuthentication
from rest_framework.exceptions import AuthenticationFailed
from rest_framework_api_key.permissions import KeyParser

from example_project.training.models import ApiKey, Organization

REFUSED = "There is no such API key, or it was revoked or has expired."


@dataclass(frozen=True, slots=True)
class System:
    """Who calls with a key: no person, and so with nothing but the organization and a name."""

    pk: str
    """What a key begins with: enough to tell keys apart, and not enough to call with."""
    name: str
    organization: Organization

    is_authenticated: ClassVar[bool] = True
    is_active: ClassVar[bool] = True
    is_staff: ClassVar[bool] = True
    is_superuser: ClassVar[bool] = False

    def __str__(self) -> str:
        return self.name


class ApiKeyAuthentication(BaseAuthentication):
    """Takes ``Authorization: Api-Key <key>``."""

    parser = KeyParser()

    def authenticate(self, request: Any) -> tuple[System, ApiKey] | None:
        """Return the system behind the key; None for a request that comes without one."""
        given = self.parser.get(request)
        if given is None:
            return None
        try:
            key = ApiKey.objects.get_from_key(given)
        except ApiKey.DoesNotExist:
            raise AuthenticationFailed(REFUSED) from None
        if key.has_expired:
            raise AuthenticationFailed(REFUSED)
        return System(key.prefix, key.name, key.organization), key

    def authenticate_header(self, request: Any) -> str:
        """Return what a request without credentials is told to bring."""
        return self.parser.keyword


class ApiKeyScheme(OpenApiAuthenticationExtension):
    """Tells the API's document of it."""

    target_class = ApiKeyAuthentication
    name = "apiKey"

    def get_security_definition(self, auto_schema: Any) -> dict[str, str]:
        """Return the scheme as OpenAPI has it."""
        return {
            "type": "apiKey",
            "in": "header",
            "name": "Authorization",
            "description": "A key of an organization, as `Api-Key <key>`.",
        }
