"""The endpoint of a webhook: its secrets decrypted, and its headers and content as all its requests have them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from django.core.exceptions import ValidationError

from tms_webhooks import __version__
from tms_webhooks.choices import AuthenticationKind, ErrorClass, PayloadFormat
from tms_webhooks.conf import app_settings
from tms_webhooks.delivery import authentication, outcome, signing
from tms_webhooks.delivery.outgoing import Endpoint
from tms_webhooks.exceptions import ConfigurationError, DeliveryError, SecretError, UnknownKey
from tms_webhooks.models import Webhook
from tms_webhooks.models.credentials import AUTHORIZATION, read_headers, secret_names
from tms_webhooks.models.encryption import Sealed
from tms_webhooks.models.reencryption import is_key_missing
from tms_webhooks.net.urls import query_secrets
from tms_webhooks.payloads.formats import RequestFormat


def endpoint_of(webhook: Webhook, sealed: Iterable[Sealed] = ()) -> Endpoint:
    """Return the endpoint of a webhook with these signing secrets, the newest first; with a problem if they can't be read."""
    kind, problem, client = webhook.authentication, None, None
    try:
        secrets = [value.reveal() for value in sealed]
        for secret in secrets:
            signing.secret_key(secret)
        headers = read_headers(webhook.headers) if webhook.headers else {}
        credentials = webhook.read_credentials() if kind != AuthenticationKind.NONE else {}
    except (ConfigurationError, SecretError, ValueError, ValidationError) as error:
        headers, secrets, credentials, problem = {}, [], {}, _unreadable(error)
    # The content type goes with the body.
    sent = {name: value for name, value in headers.items() if name.lower() != "content-type"}
    # The secrets that an answer may repeat.
    private = [secret.removeprefix(signing.SECRET_PREFIX) for secret in secrets]
    if kind != AuthenticationKind.NONE and not problem:
        client = authentication.client_credentials(credentials) if kind == AuthenticationKind.OAUTH2 else None
        sent = authentication.merged(authentication.fixed_headers(kind, credentials), sent)
        private += [credentials.get(name, "") for name in secret_names(kind)]
    url = webhook.url
    if "?" in url:
        private += query_secrets(url)
        url = webhook.masked_url
    # A header such as Accept is none.
    private += [value for name, value in sent.items() if not name.lower().startswith("accept")]
    shape = shape_of(webhook, headers)
    names = " ".join([*sent, AUTHORIZATION if client else "", webhook.body_signature_header])
    kept = [webhook.verb, url, __version__, str(len(secrets)), names, shape.format, shape.detail]
    return Endpoint(
        webhook,
        sent,
        secrets,
        problem,
        shape,
        client,
        outcome.echoes_of(private),
        "\n".join(kept).removesuffix("\nstandard\nfull"),
    )


def _unreadable(error: Exception) -> DeliveryError:
    """Return why nothing can be sent to a webhook whose secrets raise this error. It is retried if a key is missing."""
    if isinstance(error, ConfigurationError) or (isinstance(error, UnknownKey) and is_key_missing()):
        return DeliveryError(str(error), error_class=ErrorClass.KEYS_MISSING)
    if isinstance(error, SecretError):
        problem = str(error)
    elif isinstance(error, ValidationError):
        # Never the error's own words: the lines hold passwords.
        problem = "the stored headers are not name=value lines, or the credentials can't be read; enter them again"
    else:
        problem = "a stored secret is not of the form whsec_…; rotate it"
    return DeliveryError(problem, error_class=ErrorClass.SECRET_UNREADABLE, permanent=True)


def shape_of(webhook: Webhook, headers: Mapping[str, str]) -> RequestFormat:
    """Return the request format of a webhook that has these headers."""
    named = [value for name, value in headers.items() if name.lower() == "content-type"]
    is_custom = webhook.format == PayloadFormat.CUSTOM
    return RequestFormat(
        format=webhook.format,
        detail=webhook.payload,
        url=webhook.url,
        content=webhook.content if is_custom else "",
        contents=webhook.contents if is_custom else {},
        content_type=named[0] if named and is_custom else "",
        api_url=app_settings.API_URL,
    )
