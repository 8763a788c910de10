"""The life of a webhook, and every kind of body, by the Python client of OpenAPI Generator."""

import os

import tms_client
from bodies import read_all
from tms_client import (
    ApiClient,
    Configuration,
    DeliveriesApi,
    JobsApi,
    SnapshotRequest,
    SubscriptionRequest,
    SubscriptionsApi,
    WebhookRequest,
    WebhooksApi,
)
from tms_client.exceptions import NotFoundException

configuration = Configuration(
    host=os.environ["TMS_URL"],
    api_key={"apiKey": os.environ["TMS_KEY"]},
    api_key_prefix={"apiKey": "Api-Key"},
)
with ApiClient(configuration) as client:
    webhooks, subscriptions, deliveries = WebhooksApi(client), SubscriptionsApi(client), DeliveriesApi(client)
    created = webhooks.webhook_create(
        WebhookRequest(
            organization=int(os.environ["TMS_ORGANIZATION"]),
            name="Payroll",
            url=os.environ["RECEIVER_URL"],
            subscriptions=[SubscriptionRequest(event_type="class.*")],
        )
    )
    subscription = subscriptions.subscription_create(created.id, SubscriptionRequest(event_type="enrollment.requested"))
    print("subscribed:", subscription.event_type)
    test = webhooks.webhook_test(created.id)
    print("test:", test.status_code)
    count = webhooks.webhook_snapshot(created.id, SnapshotRequest(nouns=["class"], dry_run=True))
    print("dry run:", count.total, len(count.jobs))
    started = webhooks.webhook_snapshot(created.id, SnapshotRequest(nouns=["class"]))
    job = JobsApi(client).job_retrieve(started.jobs[0].id)
    print("snapshot:", started.total, job.kind.value, job.status.value)
    print("resent:", deliveries.delivery_resend(test.delivery).status.value)
    print("rotated:", str(webhooks.webhook_rotate_secret(created.id).secret != created.secret).lower())
    print("webhooks:", *(one.name for one in webhooks.webhook_list(name="Payroll").results))
    subscriptions.subscription_destroy(webhook_id=created.id, id=subscription.id)
    webhooks.webhook_destroy(created.id)
    try:
        webhooks.webhook_retrieve(created.id)
    except NotFoundException as error:
        print("deleted:", error.data and error.data.type)

read_all(lambda name, text: getattr(tms_client, name).from_json(text).to_dict())
