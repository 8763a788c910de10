"""An OAuth 2 server on loopback that issues access tokens, and a receiver that accepts them."""

import base64
import json
from urllib.parse import parse_qs, unquote_plus

from tests.receiver import Answer, Receiver
from tms_webhooks.models.credentials import to_text

CLIENT_ID, CLIENT_SECRET = "crm:1", "s3cret/with+signs"


def json_answer(data, *, status=200, delay=0.0):
    """Return an answer in JSON."""
    return Answer(status, {"content-type": "application/json"}, json.dumps(data).encode(), delay)


class TokenServer:
    """Issues ``token-1``, ``token-2`` and so on, or answers as the test says."""

    def __init__(self):
        self.server = Receiver()
        self.server.respond = self._respond
        self.expires_in = 3600
        self.delay = 0.0
        self.otherwise = None
        """Makes the answer in place of a token."""

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server.port}/token"

    @property
    def requests(self):
        return self.server.received

    @property
    def count(self):
        return len(self.requests)

    def form(self, number=-1):
        """Return the form of a request."""
        return {name: values[0] for name, values in parse_qs(self.requests[number].body.decode()).items()}

    def client(self, number=-1):
        """Return client id and secret of a request with Basic authentication, as a server reads them."""
        scheme, _, token = self.requests[number].headers["authorization"].partition(" ")
        assert scheme == "Basic"
        name, _, secret = base64.b64decode(token).decode().partition(":")
        return unquote_plus(name), unquote_plus(secret)

    def credentials(self, **values):
        """Return the fields of a webhook that uses this server."""
        given = {"token_url": self.url, "client_id": CLIENT_ID, "client_secret": CLIENT_SECRET, **values}
        return {"authentication": "oauth2", "credentials": to_text(given)}

    def give_to(self, webhook, **values):
        """Have a webhook use this server."""
        fields = self.credentials(**values)
        webhook.authentication, webhook.credentials = fields["authentication"], fields["credentials"]
        webhook.save(update_fields=["authentication", "credentials"])

    def _respond(self, _request):
        if self.otherwise is not None:
            return self.otherwise()
        data = {"access_token": f"token-{self.count}", "token_type": "Bearer", "expires_in": self.expires_in}
        return json_answer({name: value for name, value in data.items() if value is not None}, delay=self.delay)


def accepting(*tokens):
    """Return a receiver that accepts these tokens, and answers 401 to others."""
    headers = {f"Bearer {token}" for token in tokens}
    return lambda request: Answer(200 if request.headers.get("authorization") in headers else 401)


def tokens_of(receiver):
    """Return the tokens that a receiver got."""
    return [request.headers.get("authorization", "").removeprefix("Bearer ") for request in receiver.received]
