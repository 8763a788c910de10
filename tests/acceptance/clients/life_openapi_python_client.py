"""The life of a webhook, and every kind of body, by the client of openapi-python-client."""

import json
import os
from typing import TypeVar

from bodies import read_all
from tms_client import AuthenticatedClient, models
from tms_client.api.deliveries import delivery_resend
from tms_client.api.jobs import job_retrieve
from tms_client.api.subscriptions import subscription_create, subscription_destroy
from tms_client.api.webhooks import (
    webhook_create,
    webhook_destroy,
    webhook_list,
    webhook_retrieve,
    webhook_rotate_secret,
    webhook_snapshot,
    webhook_test,
)

Model = TypeVar("Model")


def expected(kind: type[Model], answer: object) -> Model:
    """Return an answer that is of this kind, and no problem."""
    assert isinstance(answer, kind), answer
    return answer


client = AuthenticatedClient(base_url=os.environ["TMS_URL"], token=os.environ["TMS_KEY"], prefix="Api-Key")
request = models.WebhookRequest(
    organization=int(os.environ["TMS_ORGANIZATION"]),
    name="Payroll",
    url=os.environ["RECEIVER_URL"],
    subscriptions=[models.SubscriptionRequest(event_type="class.*")],
)
created = expected(models.CreatedWebhook, webhook_create.sync(client=client, body=request))
addition = models.SubscriptionRequest(event_type="enrollment.requested")
added = expected(models.Subscription, subscription_create.sync(created.id, client=client, body=addition))
print("subscribed:", added.event_type)
test = expected(models.TestSendResult, webhook_test.sync(created.id, client=client, body=models.SendTestRequest()))
print("test:", test.status_code)
counting = models.SnapshotRequest(nouns=["class"], dry_run=True)
count = expected(models.StartedJobs, webhook_snapshot.sync(created.id, client=client, body=counting))
print("dry run:", count.total, len(count.jobs))
sending = models.SnapshotRequest(nouns=["class"])
started = expected(models.StartedJobs, webhook_snapshot.sync(created.id, client=client, body=sending))
job = expected(models.Job, job_retrieve.sync(started.jobs[0].id, client=client))
print("snapshot:", started.total, job.kind, job.status)
resent = expected(models.DeliveryDetail, delivery_resend.sync(test.delivery, client=client))
print("resent:", resent.status)
rotated = expected(
    models.RotatedSecret,
    webhook_rotate_secret.sync(created.id, client=client, body=models.SecretRotationRequest()),
)
print("rotated:", str(rotated.secret != created.secret).lower())
page = expected(models.PaginatedWebhookList, webhook_list.sync(client=client, name="Payroll"))
print("webhooks:", *(one.name for one in page.results))
assert subscription_destroy.sync(created.id, added.id, client=client) is None
assert webhook_destroy.sync(created.id, client=client) is None
print("deleted:", expected(models.Problem, webhook_retrieve.sync(created.id, client=client)).type_)

read_all(lambda name, text: getattr(models, name).from_dict(json.loads(text)).to_dict())
