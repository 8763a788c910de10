"""One HTTP call, in a thread that knows nothing of the database."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from time import monotonic

from tms_webhooks import __version__
from tms_webhooks.choices import ErrorClass
from tms_webhooks.conf import app_settings
from tms_webhooks.delivery import observers, outcome, signing
from tms_webhooks.delivery.observers import Observation
from tms_webhooks.delivery.outgoing import Parcel, Result
from tms_webhooks.exceptions import DeliveryError
from tms_webhooks.net.client import Client, Request
from tms_webhooks.net.timing import Timing

USER_AGENT = f"tms-webhooks/{__version__}"
DELIVERY_HEADER = "tms-delivery-id"
ATTEMPT_HEADER = "tms-attempt"


def send(parcel: Parcel, *, client: Client, clock: Callable[[], datetime]) -> Result:
    """Sign and send a parcel now. Never raises: whatever goes wrong is in the result's outcome."""
    watching = observers.begin(parcel)
    result = _send(parcel, watching, client=client, clock=clock)
    observers.end(watching, result)
    return result


def _send(parcel: Parcel, watching: Sequence[Observation], *, client: Client, clock: Callable[[], datetime]) -> Result:
    started_at, start = clock(), monotonic()
    try:
        response = client.send(request_of(parcel, started_at, watching))
    except DeliveryError as error:
        return Result(parcel, started_at, monotonic() - start, outcome.of_error(error), timing=error.timing or Timing())
    except Exception as error:
        # The class alone: what the message holds nobody knows.
        unknown = DeliveryError(f"unexpected {type(error).__name__}", error_class=ErrorClass.OTHER)
        return Result(parcel, started_at, monotonic() - start, outcome.of_error(unknown))
    return Result(
        parcel,
        started_at,
        response.elapsed,
        outcome.of_response(status=response.status, headers=response.headers, now=clock()),
        status=response.status,
        body=response.body.decode("utf-8", "replace").replace("\x00", "\ufffd"),
        timing=response.timing,
    )


def request_of(parcel: Parcel, now: datetime, watching: Sequence[Observation] = ()) -> Request:
    """Sign a parcel for an attempt at ``now``; raise `DeliveryError` where it can't be sent."""
    route = parcel.route
    problem = route.problem or parcel.problem
    if problem is not None:
        raise problem
    if len(parcel.body) > app_settings.BODY_LIMIT:
        raise DeliveryError(
            f"the body has {len(parcel.body)} bytes, more than BODY_LIMIT",
            error_class=ErrorClass.BODY_TOO_LARGE,
            permanent=True,
        )
    signed = signing.signature_headers(
        secrets=route.secrets, message_id=parcel.event_id, timestamp=int(now.timestamp()), body=parcel.body
    )
    # Ours last: nobody else's header can take the place of one of them.
    headers = {
        **observers.headers_of(watching, taken=route.headers),
        **route.headers,
        "content-type": parcel.content_type,
        "user-agent": USER_AGENT,
        DELIVERY_HEADER: str(parcel.delivery_id),
        ATTEMPT_HEADER: str(parcel.number),
        **signed,
    }
    return Request(
        method=route.verb,
        url=route.url if parcel.url is None else parcel.url,
        headers=headers,
        body=parcel.body,
        deadline=route.timeout or app_settings.DEADLINE,
    )
