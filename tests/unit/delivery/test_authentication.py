"""What the objects with the secrets of OAuth 2 show."""

from datetime import UTC, datetime

from tms_webhooks.delivery.authentication import client_credentials
from tms_webhooks.worker.send import KnownToken


def test_no_repr_shows_a_secret():
    values = {"token_url": "https://login.example.com/", "client_id": "tms", "client_secret": "cl13nt-s3cret"}
    client = client_credentials(values)
    token = KnownToken("t0k3n", datetime(2026, 11, 27, tzinfo=UTC), client.fingerprint)

    shown = repr([client, {"token": token}, (token,)])

    assert [secret for secret in ("cl13nt-s3cret", "t0k3n") if secret in shown] == []
