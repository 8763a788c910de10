from __future__ import annotations

import uuid

import django.core.serializers.json
import django.core.validators
import django.db.models.deletion
import tms_webhooks.models.encryption
import tms_webhooks.models.event
import tms_webhooks.validators
from django.db import migrations, models

from tms_webhooks.models.organization import organization_dependency, organization_model


class Migration(migrations.Migration):
    initial = True

    dependencies = [
        organization_dependency(),
    ]

    operations = [
        migrations.CreateModel(
            name="DrainSlot",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("number", models.PositiveSmallIntegerField(unique=True)),
                ("owner", models.CharField(blank=True, default="", max_length=64)),
                ("held_until", models.DateTimeField()),
                ("seen_at", models.DateTimeField(null=True)),
                ("keys", models.CharField(blank=True, default="", max_length=16)),
                ("unreachable_since", models.DateTimeField(null=True)),
            ],
        ),
        migrations.CreateModel(
            name="FeedEnds",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("published", models.BigIntegerField(default=0)),
                ("forgotten", models.BigIntegerField(default=0)),
            ],
        ),
        migrations.CreateModel(
            name="IdempotentRequest",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("digest", models.CharField(max_length=64, unique=True)),
                ("fingerprint", models.CharField(max_length=64)),
                ("created_at", models.DateTimeField(db_index=True)),
                ("status_code", models.PositiveSmallIntegerField(null=True)),
                ("rights", models.JSONField(default=list)),
                ("headers", models.JSONField(default=dict)),
                (
                    "answer",
                    tms_webhooks.models.encryption.EncryptedTextField(blank=True, default=""),
                ),
            ],
        ),
        migrations.CreateModel(
            name="FanOutFailure",
            fields=[
                ("event_id", models.BigIntegerField(primary_key=True, serialize=False)),
                ("tries", models.PositiveSmallIntegerField()),
                ("retry_at", models.DateTimeField()),
                ("error", models.TextField()),
            ],
        ),
        migrations.CreateModel(
            name="KeptPayload",
            fields=[
                ("event_id", models.BigIntegerField(primary_key=True, serialize=False)),
            ],
        ),
        migrations.CreateModel(
            name="PeriodicRun",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("function", models.CharField(max_length=100, unique=True)),
                ("started_at", models.DateTimeField()),
            ],
        ),
        migrations.CreateModel(
            name="PruneCursor",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("occurred_at", models.DateTimeField()),
                ("event_id", models.BigIntegerField()),
            ],
        ),
        migrations.CreateModel(
            name="Reconciliation",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("source", models.CharField(max_length=150, unique=True)),
                (
                    "phase",
                    models.CharField(
                        choices=[("rows", "Rows"), ("states", "States"), ("done", "Done")],
                        default="rows",
                        max_length=10,
                    ),
                ),
                ("position", models.CharField(blank=True, default="", max_length=200)),
                ("has_baseline", models.BooleanField(default=False)),
                ("started_at", models.DateTimeField()),
                ("finished_at", models.DateTimeField(null=True)),
            ],
        ),
        migrations.CreateModel(
            name="ScanCursor",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("key", models.CharField(max_length=255, unique=True)),
                ("scanned_until", models.DateTimeField()),
            ],
        ),
        migrations.CreateModel(
            name="EventSequence",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("subject_type", models.CharField(max_length=50)),
                ("subject_id", tms_webhooks.models.event.ExactCharField(max_length=64)),
                ("last", models.PositiveIntegerField()),
            ],
            options={
                "constraints": [
                    models.UniqueConstraint(
                        fields=("subject_type", "subject_id"), name="tms_event_sequence_of_subject"
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="Occurrence",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("key", tms_webhooks.models.event.ExactCharField(max_length=255, unique=True)),
                ("recorded_at", models.DateTimeField()),
                ("deadline", models.DateTimeField(null=True)),
            ],
            options={
                "indexes": [
                    models.Index(fields=["deadline"], name="tms_occurrence_by_deadline"),
                ],
            },
        ),
        migrations.CreateModel(
            name="OwnerlessObject",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("source", models.CharField(max_length=150)),
                ("key", tms_webhooks.models.event.ExactCharField(max_length=200)),
                ("since", models.DateTimeField()),
                ("checked_at", models.DateTimeField()),
                ("reported", models.BooleanField(default=False)),
            ],
            options={
                "indexes": [
                    models.Index(fields=["checked_at", "id"], name="tms_ownerless_by_check"),
                ],
                "constraints": [
                    models.UniqueConstraint(fields=("source", "key"), name="tms_ownerless_by_key"),
                ],
            },
        ),
        migrations.CreateModel(
            name="SourceState",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("source", models.CharField(max_length=150)),
                ("key", tms_webhooks.models.event.ExactCharField(max_length=200)),
                ("state", models.TextField()),
                ("related", models.TextField()),
                ("recorded_at", models.DateTimeField()),
            ],
            options={
                "constraints": [
                    models.UniqueConstraint(fields=("source", "key"), name="tms_source_state_by_key"),
                ],
            },
        ),
        migrations.CreateModel(
            name="Webhook",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("uid", models.UUIDField(default=uuid.uuid4, editable=False, unique=True, verbose_name="id")),
                (
                    "audience",
                    models.CharField(
                        choices=[("owner", "Classes we run"), ("learner", "Our learners, anywhere"), ("both", "Both")],
                        default="owner",
                        help_text="Events of the organization's own objects, such as its classes and their enrollments; events of its learners in any organization; or both.",
                        max_length=10,
                        verbose_name="audience",
                    ),
                ),
                (
                    "include_children",
                    models.BooleanField(
                        default=False,
                        help_text="Include events of the organizations below this one, at any depth.",
                        verbose_name="include child organizations",
                    ),
                ),
                (
                    "skip_own",
                    models.BooleanField(
                        default=False,
                        help_text="Leave out the events that the integration caused itself. Name the integration below.",
                        verbose_name="skip own changes",
                    ),
                ),
                (
                    "integration_kind",
                    models.CharField(
                        blank=True,
                        choices=[("user", "User"), ("administrator", "Administrator"), ("api", "API")],
                        default="",
                        help_text="The kind of actor that the webhook belongs to: a user, an administrator or an API key.",
                        max_length=20,
                        verbose_name="integration",
                    ),
                ),
                (
                    "integration_id",
                    models.CharField(
                        blank=True,
                        default="",
                        help_text="The id of that API key or user, as in the actor of an event.",
                        max_length=64,
                        verbose_name="integration id",
                    ),
                ),
                (
                    "headers",
                    tms_webhooks.models.encryption.EncryptedTextField(
                        blank=True,
                        default="",
                        help_text="One name=value per line, such as X-Tenant=north. Values are encrypted.",
                        validators=[tms_webhooks.validators.validate_header_lines],
                        verbose_name="headers",
                    ),
                ),
                (
                    "format",
                    models.CharField(
                        choices=[
                            ("standard", "Standard"),
                            ("skillable", "Skillable API"),
                            ("cloudevents", "CloudEvents"),
                            ("cloudevents_binary", "CloudEvents, binary mode"),
                            ("custom", "Custom content"),
                        ],
                        default="standard",
                        help_text="The format of the body.",
                        max_length=20,
                        verbose_name="format",
                    ),
                ),
                (
                    "payload",
                    models.CharField(
                        choices=[("full", "Everything"), ("no_personal", "No personal fields"), ("thin", "Ids only")],
                        default="full",
                        help_text="The fields of the event that are sent.",
                        max_length=12,
                        verbose_name="payload",
                    ),
                ),
                (
                    "content",
                    models.TextField(
                        blank=True,
                        default="",
                        help_text="For custom content: the body, with {tokens} such as {type}, {data.user.email} or {ClassId}.",
                        validators=[django.core.validators.MaxLengthValidator(65536)],
                        verbose_name="content",
                    ),
                ),
                (
                    "contents",
                    models.JSONField(
                        blank=True,
                        default=dict,
                        help_text='For custom content: another body for some events, such as {"class.cancelled": "{data.name} is off"}. Others get the content above.',
                        validators=[tms_webhooks.validators.validate_contents],
                        verbose_name="contents by event",
                    ),
                ),
                (
                    "authentication",
                    models.CharField(
                        choices=[
                            ("none", "None"),
                            ("basic", "Basic (user name and password)"),
                            ("bearer", "Bearer token"),
                            ("header", "Key in a header"),
                            ("oauth2", "OAuth 2 client credentials"),
                        ],
                        default="none",
                        help_text="How requests authenticate at the receiver, in addition to their signature.",
                        max_length=10,
                        verbose_name="authentication",
                    ),
                ),
                (
                    "credentials",
                    tms_webhooks.models.encryption.EncryptedTextField(
                        blank=True, default="", verbose_name="credentials"
                    ),
                ),
                (
                    "body_signature_header",
                    models.CharField(
                        blank=True,
                        default="",
                        help_text="For receivers that verify GitHub's signature: a header that gets the hex HMAC-SHA256 of the body, such as X-Hub-Signature-256. Empty: none.",
                        max_length=100,
                        validators=[tms_webhooks.validators.validate_header_name],
                        verbose_name="body signature header",
                    ),
                ),
                (
                    "body_signature_prefix",
                    models.BooleanField(
                        default=True,
                        help_text="Write sha256= before the body signature, as GitHub does.",
                        verbose_name="prefix sha256=",
                    ),
                ),
                (
                    "name",
                    models.CharField(
                        max_length=150, validators=[tms_webhooks.validators.validate_name], verbose_name="name"
                    ),
                ),
                (
                    "pull_only",
                    models.BooleanField(
                        default=False,
                        help_text="Nothing is sent: the receiver reads the events from the webhook's feed. The URL is empty then.",
                        verbose_name="pull only",
                    ),
                ),
                (
                    "url",
                    models.CharField(
                        blank=True,
                        default="",
                        help_text="Where events are sent, such as https://crm.example.com/hooks. It must respond with 2xx within the timeout. Optional: {tokens} in path and query.",
                        max_length=2000,
                        validators=[tms_webhooks.validators.validate_webhook_url],
                        verbose_name="URL",
                    ),
                ),
                (
                    "verb",
                    models.CharField(
                        choices=[
                            ("POST", "POST"),
                            ("PUT", "PUT"),
                            ("PATCH", "PATCH"),
                            ("GET", "GET"),
                            ("DELETE", "DELETE"),
                        ],
                        default="POST",
                        max_length=6,
                        verbose_name="verb",
                    ),
                ),
                (
                    "delay_seconds",
                    models.PositiveIntegerField(
                        default=0,
                        help_text="The delay before the first attempt.",
                        validators=[django.core.validators.MaxValueValidator(86400)],
                        verbose_name="delay (seconds)",
                    ),
                ),
                (
                    "timeout_seconds",
                    models.PositiveSmallIntegerField(
                        default=20,
                        help_text="The time limit of one attempt.",
                        validators=[
                            django.core.validators.MinValueValidator(1),
                            django.core.validators.MaxValueValidator(30),
                        ],
                        verbose_name="timeout (seconds)",
                    ),
                ),
                (
                    "max_retries",
                    models.PositiveSmallIntegerField(
                        blank=True,
                        help_text="The number of retries, 0 to 10. Empty: one per delay of the schedule.",
                        null=True,
                        validators=[django.core.validators.MaxValueValidator(10)],
                        verbose_name="max retries",
                    ),
                ),
                (
                    "schedule",
                    models.JSONField(
                        blank=True,
                        default=str,
                        help_text="standard, skillable, none, or a list of at most 15 delays in seconds. Empty: standard.",
                        validators=[tms_webhooks.validators.validate_schedule],
                        verbose_name="schedule",
                    ),
                ),
                (
                    "max_in_flight",
                    models.PositiveSmallIntegerField(
                        blank=True,
                        help_text="The number of concurrent requests to this webhook. Empty: as many as the operator allows.",
                        null=True,
                        validators=[
                            django.core.validators.MinValueValidator(1),
                            django.core.validators.MaxValueValidator(100),
                        ],
                        verbose_name="max concurrent requests",
                    ),
                ),
                (
                    "ordered",
                    models.BooleanField(
                        default=False,
                        help_text="One request at a time, in order for each object: later events wait until earlier ones are finished.",
                        verbose_name="blocking",
                    ),
                ),
                (
                    "rate_limit_per_second",
                    models.FloatField(
                        blank=True,
                        help_text="The highest number of requests per second. Further deliveries wait. Empty: no limit.",
                        null=True,
                        validators=[tms_webhooks.validators.validate_rate],
                        verbose_name="rate limit per second",
                    ),
                ),
                (
                    "error_action",
                    models.CharField(
                        choices=[("log", "Log"), ("notify", "Send notification"), ("disable", "Disable the webhook")],
                        default="log",
                        help_text="The action when a delivery is given up.",
                        max_length=10,
                        verbose_name="error action",
                    ),
                ),
                (
                    "contacts",
                    models.TextField(
                        blank=True,
                        default="",
                        help_text="E-mail addresses, one per line. They get a message when the webhook fails, still fails after a day, is disabled, or works again.",
                        validators=[tms_webhooks.validators.validate_contacts],
                        verbose_name="contacts",
                    ),
                ),
                ("enabled", models.BooleanField(default=True, verbose_name="enabled")),
                (
                    "disabled_reason",
                    models.CharField(
                        blank=True,
                        choices=[
                            ("gone", "Gone"),
                            ("failing", "Failing"),
                            ("receiver_requested", "Receiver's request"),
                            ("admin", "Administrator"),
                            ("expired", "Expired"),
                            ("blocked_target", "Blocked target"),
                        ],
                        default="",
                        editable=False,
                        max_length=20,
                        verbose_name="disabled reason",
                    ),
                ),
                ("disabled_at", models.DateTimeField(editable=False, null=True, verbose_name="disabled at")),
                ("hook_of", models.CharField(blank=True, default="", editable=False, max_length=120)),
                ("expires_at", models.DateTimeField(editable=False, null=True)),
                ("deleted_at", models.DateTimeField(editable=False, null=True, verbose_name="deleted at")),
                ("created_at", models.DateTimeField(auto_now_add=True, verbose_name="created at")),
                ("updated_at", models.DateTimeField(auto_now=True, verbose_name="updated at")),
                (
                    "organization",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="webhooks",
                        to=organization_model(),
                        verbose_name="organization",
                    ),
                ),
            ],
            options={
                "verbose_name": "webhook",
                "verbose_name_plural": "webhooks",
                "ordering": ("name", "pk"),
                "indexes": [
                    models.Index(
                        condition=models.Q(("deleted_at__isnull", True)),
                        fields=["organization"],
                        name="tms_webhook_by_organization",
                    ),
                    models.Index(
                        condition=models.Q(("deleted_at__isnull", True), ("include_children", True)),
                        fields=["include_children"],
                        name="tms_webhook_with_children",
                    ),
                    models.Index(
                        condition=models.Q(("hook_of__gt", "")), fields=["hook_of"], name="tms_webhook_hooks"
                    ),
                    models.Index(
                        condition=models.Q(("enabled", False)), fields=["disabled_reason"], name="tms_webhook_disabled"
                    ),
                ],
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(("pull_only", True), ("url", "")),
                            models.Q(("pull_only", False), models.Q(("url", ""), _negated=True)),
                            _connector="OR",
                        ),
                        name="tms_webhook_url_unless_pull_only",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("timeout_seconds__gte", 1), ("timeout_seconds__lte", 30)),
                        name="tms_webhook_timeout_range",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("delay_seconds__lte", 86400)), name="tms_webhook_delay_range"
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("max_retries__isnull", True), ("max_retries__lte", 10), _connector="OR"),
                        name="tms_webhook_retries_range",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("max_in_flight__isnull", True), ("max_in_flight__gte", 1), _connector="OR"),
                        name="tms_webhook_in_flight_range",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            ("rate_limit_per_second__isnull", True), ("rate_limit_per_second__gt", 0), _connector="OR"
                        ),
                        name="tms_webhook_rate_positive",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="Subscription",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("uid", models.UUIDField(default=uuid.uuid4, editable=False, unique=True, verbose_name="id")),
                (
                    "event_type",
                    models.CharField(
                        help_text="An event such as class.cancelled, all of a noun as class.*, or *.",
                        max_length=100,
                        verbose_name="event",
                    ),
                ),
                (
                    "more_than_days",
                    models.FloatField(
                        blank=True,
                        help_text="For expiring events: send while more than this number of days is left.",
                        null=True,
                        verbose_name="more than days",
                    ),
                ),
                (
                    "less_than_days",
                    models.FloatField(
                        blank=True,
                        help_text="For expiring events: send once fewer than this number of days is left.",
                        null=True,
                        verbose_name="less than days",
                    ),
                ),
                (
                    "filters",
                    models.JSONField(
                        blank=True,
                        default=dict,
                        help_text='Only matching events: lists of accepted values, such as {"course": [301]}. Empty: all.',
                        verbose_name="filters",
                    ),
                ),
                (
                    "condition",
                    models.JSONField(
                        blank=True,
                        help_text='A condition that an event must meet, such as {"data.grade": {"gte": 50}}. Empty: anything.',
                        null=True,
                        verbose_name="condition",
                    ),
                ),
                (
                    "quiet_seconds",
                    models.PositiveIntegerField(
                        default=0,
                        help_text="For updated and progressed events: wait until the object has had no further one for this number of seconds, then send one request for all. 0: send each immediately.",
                        validators=[django.core.validators.MaxValueValidator(86400)],
                        verbose_name="quiet seconds",
                    ),
                ),
                (
                    "quiet_longest_seconds",
                    models.PositiveIntegerField(
                        blank=True,
                        help_text="Send the request after at most this number of seconds. Empty: five times the quiet seconds.",
                        null=True,
                        validators=[
                            django.core.validators.MinValueValidator(1),
                            django.core.validators.MaxValueValidator(86400),
                        ],
                        verbose_name="longest wait seconds",
                    ),
                ),
                (
                    "webhook",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="subscriptions",
                        to="tms_webhooks.webhook",
                        verbose_name="webhook",
                    ),
                ),
            ],
            options={
                "verbose_name": "subscription",
                "verbose_name_plural": "subscriptions",
                "ordering": ("webhook", "event_type", "pk"),
                "indexes": [
                    models.Index(fields=["event_type", "webhook"], name="tms_subscription_by_event"),
                    models.Index(
                        condition=models.Q(("quiet_seconds__gt", 0)),
                        fields=["quiet_seconds"],
                        name="tms_subscription_quiet",
                    ),
                ],
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(("less_than_days__isnull", True), ("more_than_days__isnull", True)),
                            models.Q(
                                ("less_than_days__gt", 0),
                                ("less_than_days__isnull", False),
                                ("more_than_days__isnull", True),
                            ),
                            models.Q(
                                ("less_than_days__isnull", False),
                                ("more_than_days__gte", 0),
                                ("more_than_days__isnull", False),
                                ("more_than_days__lt", models.F("less_than_days")),
                            ),
                            _connector="OR",
                        ),
                        name="tms_subscription_window_order",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(("quiet_longest_seconds__isnull", True), ("quiet_seconds__lte", 86400)),
                            models.Q(
                                ("quiet_longest_seconds__gte", models.F("quiet_seconds")),
                                ("quiet_longest_seconds__isnull", False),
                                ("quiet_longest_seconds__lte", 86400),
                                ("quiet_seconds__gt", 0),
                            ),
                            _connector="OR",
                        ),
                        name="tms_subscription_quiet_range",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="Event",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "uid",
                    models.UUIDField(
                        default=tms_webhooks.models.event.time_ordered_uuid,
                        editable=False,
                        unique=True,
                        verbose_name="id",
                    ),
                ),
                ("type", models.CharField(max_length=100, verbose_name="type")),
                ("version", models.PositiveSmallIntegerField(default=1, verbose_name="schema version")),
                ("subject_type", models.CharField(max_length=50, verbose_name="subject type")),
                ("subject_id", tms_webhooks.models.event.ExactCharField(max_length=64, verbose_name="subject id")),
                (
                    "external_id",
                    models.CharField(blank=True, default="", max_length=64, verbose_name="external id"),
                ),
                (
                    "subject_name",
                    models.CharField(blank=True, default="", editable=False, max_length=120, verbose_name="name"),
                ),
                ("searched_name", models.CharField(blank=True, default="", editable=False, max_length=240)),
                ("subject_key", tms_webhooks.models.event.SubjectNumberField(editable=False)),
                ("sequence", models.PositiveIntegerField(editable=False, null=True, verbose_name="sequence")),
                ("numbered_by_owner", models.BooleanField(default=False, editable=False)),
                ("is_copy", models.BooleanField(default=False, editable=False)),
                ("actor_kind", models.CharField(max_length=20, verbose_name="actor kind")),
                ("actor_id", models.CharField(blank=True, default="", max_length=64, verbose_name="actor id")),
                ("traceparent", models.CharField(editable=False, max_length=55, null=True)),
                ("occurred_at", models.DateTimeField(verbose_name="occurred at")),
                ("body", models.TextField(blank=True, default="", verbose_name="body")),
                ("error", models.TextField(blank=True, default="", verbose_name="error")),
                ("fanned_out_at", models.DateTimeField(editable=False, null=True, verbose_name="fanned out at")),
                ("position", models.BigIntegerField(editable=False, null=True, verbose_name="position")),
                ("snapshot_job", models.BigIntegerField(default=0, editable=False)),
                (
                    "learner_organization",
                    models.ForeignKey(
                        blank=True,
                        db_constraint=False,
                        db_index=False,
                        null=True,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        related_name="+",
                        to=organization_model(),
                        verbose_name="learner organization",
                    ),
                ),
                (
                    "other_organization",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        editable=False,
                        null=True,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        related_name="+",
                        to=organization_model(),
                    ),
                ),
                (
                    "other_learner_organization",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        editable=False,
                        null=True,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        related_name="+",
                        to=organization_model(),
                    ),
                ),
                (
                    "organization",
                    models.ForeignKey(
                        db_index=False,
                        null=True,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="+",
                        to=organization_model(),
                        verbose_name="organization",
                    ),
                ),
                (
                    "subscription",
                    models.ForeignKey(
                        blank=True,
                        db_constraint=False,
                        db_index=False,
                        help_text="Set if the event is for this subscription only, such as an expiry window.",
                        null=True,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        related_name="+",
                        to="tms_webhooks.subscription",
                        verbose_name="subscription",
                    ),
                ),
                (
                    "webhook",
                    models.ForeignKey(
                        blank=True,
                        db_constraint=False,
                        db_index=False,
                        null=True,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        related_name="+",
                        to="tms_webhooks.webhook",
                        verbose_name="webhook",
                    ),
                ),
            ],
            options={
                "verbose_name": "event",
                "verbose_name_plural": "events",
                "ordering": ("-pk",),
                "indexes": [
                    models.Index(
                        condition=models.Q(("fanned_out_at__isnull", True)),
                        fields=["fanned_out_at", "organization", "id"],
                        name="tms_event_to_fan_out",
                    ),
                    models.Index(
                        condition=models.Q(("fanned_out_at__isnull", True)),
                        fields=["subject_key"],
                        name="tms_event_object_to_fan_out",
                    ),
                    models.Index(fields=["occurred_at", "id", "searched_name"], name="tms_event_by_age"),
                    models.Index(
                        condition=models.Q(("external_id__gt", "")),
                        fields=["external_id"],
                        name="tms_event_by_external_id",
                    ),
                    models.Index(
                        condition=models.Q(
                            ("learner_organization__isnull", False),
                            models.Q(("learner_organization", models.F("organization")), _negated=True),
                        ),
                        fields=["learner_organization", "id"],
                        name="tms_event_by_learner",
                    ),
                    models.Index(fields=["position", "id"], name="tms_event_feed"),
                    models.Index(fields=["organization", "position"], name="tms_event_feed_of_owner"),
                    models.Index(
                        condition=models.Q(
                            ("learner_organization__isnull", False),
                            models.Q(("learner_organization", models.F("organization")), _negated=True),
                        ),
                        fields=["learner_organization", "position"],
                        name="tms_event_feed_of_learner",
                    ),
                    models.Index(
                        condition=models.Q(("webhook__isnull", False)),
                        fields=["webhook", "position"],
                        name="tms_event_for_webhook",
                    ),
                ],
                "constraints": [
                    models.UniqueConstraint(
                        fields=(
                            "subject_type",
                            "subject_id",
                            "sequence",
                            "snapshot_job",
                            "organization",
                            "numbered_by_owner",
                        ),
                        name="tms_event_sequence_once",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="Delivery",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "status",
                    models.CharField(
                        choices=[
                            ("pending", "Pending"),
                            ("waiting", "Waiting"),
                            ("delivered", "Delivered"),
                            ("exhausted", "Gave up after all retries"),
                            ("failed", "Can't be retried"),
                            ("skipped", "Skipped"),
                            ("cancelled", "Cancelled"),
                            ("merged", "Merged"),
                        ],
                        default="pending",
                        max_length=10,
                        verbose_name="status",
                    ),
                ),
                ("due_at", models.DateTimeField(null=True, verbose_name="due at")),
                (
                    "priority",
                    models.PositiveSmallIntegerField(
                        choices=[(0, "Manual"), (1, "Live"), (2, "Replay")], default=1, verbose_name="priority"
                    ),
                ),
                ("order_key", models.BigIntegerField(editable=False, null=True)),
                ("attempts", models.PositiveIntegerField(default=0, verbose_name="attempts")),
                ("charged", models.PositiveIntegerField(default=0, verbose_name="charged attempts")),
                (
                    "error_class",
                    models.CharField(
                        blank=True,
                        choices=[
                            ("http_status", "Unsuccessful status"),
                            ("dns_error", "Name not resolved"),
                            ("connection_refused", "Connection refused"),
                            ("connection_reset", "Connection reset"),
                            ("network_unreachable", "Network unreachable"),
                            ("timeout", "Timed out"),
                            ("tls_error", "TLS error"),
                            ("proxy_error", "Proxy error"),
                            ("token_error", "No access token"),
                            ("blocked_address", "Blocked address"),
                            ("invalid_url", "Invalid URL"),
                            ("body_too_large", "Body too large"),
                            ("secret_unreadable", "Secret unreadable"),
                            ("keys_missing", "Encryption key missing"),
                            ("render_failed", "Body not rendered"),
                            ("other", "Other"),
                        ],
                        default="",
                        max_length=20,
                        verbose_name="error",
                    ),
                ),
                ("created_at", models.DateTimeField(verbose_name="created at")),
                ("reopened_at", models.DateTimeField(null=True, verbose_name="reopened at")),
                ("finished_at", models.DateTimeField(null=True, verbose_name="finished at")),
                ("given_up_at", models.DateTimeField(editable=False, null=True)),
                ("quiet_period", models.BigIntegerField(editable=False, null=True, verbose_name="quiet period")),
                ("resume_priority", models.PositiveSmallIntegerField(editable=False, null=True)),
                ("job", models.BigIntegerField(editable=False, null=True)),
                (
                    "event",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="deliveries",
                        to="tms_webhooks.event",
                        verbose_name="event",
                    ),
                ),
                (
                    "webhook",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="deliveries",
                        to="tms_webhooks.webhook",
                        verbose_name="webhook",
                    ),
                ),
            ],
            options={
                "verbose_name": "delivery",
                "verbose_name_plural": "deliveries",
                "ordering": ("-pk",),
                "indexes": [
                    models.Index(fields=["webhook", "id"], name="tms_delivery_by_webhook"),
                    models.Index(
                        condition=models.Q(("due_at__isnull", False)),
                        fields=["webhook", "priority", "due_at", "id"],
                        name="tms_delivery_claim",
                    ),
                    models.Index(
                        condition=models.Q(("due_at__isnull", False)), fields=["due_at"], name="tms_delivery_due"
                    ),
                    models.Index(
                        condition=models.Q(("due_at__isnull", False), ("order_key__isnull", False)),
                        fields=["webhook", "order_key", "event"],
                        name="tms_delivery_earlier_of_object",
                    ),
                    models.Index(
                        condition=models.Q(("status", "waiting")),
                        fields=["status", "webhook", "due_at"],
                        name="tms_delivery_retries",
                    ),
                    models.Index(
                        condition=models.Q(("due_at__isnull", False), ("quiet_period__isnull", False)),
                        fields=["order_key"],
                        name="tms_delivery_quiet_waiting",
                    ),
                    models.Index(
                        condition=models.Q(("quiet_period__isnull", False)),
                        fields=["quiet_period"],
                        name="tms_delivery_quiet_period",
                    ),
                    models.Index(
                        condition=models.Q(("given_up_at__isnull", False)),
                        fields=["webhook", "given_up_at"],
                        name="tms_delivery_given_up",
                    ),
                    models.Index(
                        condition=models.Q(("job__isnull", False)),
                        fields=["job", "status"],
                        name="tms_delivery_of_job",
                    ),
                    models.Index(
                        condition=models.Q(
                            ("status", "exhausted"),
                            ("status", "failed"),
                            ("status", "skipped"),
                            ("status", "cancelled"),
                            _connector="OR",
                        ),
                        fields=["status", "webhook", "id"],
                        name="tms_delivery_unsuccessful",
                    ),
                ],
                "constraints": [
                    models.UniqueConstraint(fields=("event", "webhook"), name="tms_delivery_once_per_webhook"),
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(("due_at__isnull", False), ("status__in", ("pending", "waiting"))),
                            models.Q(
                                ("due_at__isnull", True),
                                ("status__in", ("delivered", "exhausted", "failed", "skipped", "cancelled", "merged")),
                            ),
                            _connector="OR",
                        ),
                        name="tms_delivery_due_while_open",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("charged__lte", models.F("attempts"))), name="tms_delivery_charged_attempts"
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="DeliveryBody",
            fields=[
                (
                    "delivery",
                    models.OneToOneField(
                        db_constraint=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        primary_key=True,
                        related_name="own_body",
                        serialize=False,
                        to="tms_webhooks.delivery",
                    ),
                ),
                ("content_type", models.CharField(blank=True, default="", max_length=255)),
                ("body", models.TextField(blank=True, default="")),
                ("merged", models.TextField(blank=True, default="")),
            ],
        ),
        migrations.CreateModel(
            name="Job",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("uid", models.UUIDField(default=uuid.uuid4, editable=False, unique=True, verbose_name="id")),
                (
                    "kind",
                    models.CharField(
                        choices=[
                            ("recover", "Resend failed deliveries"),
                            ("resend_cancelled", "Resend cancelled deliveries"),
                            ("replay_missed", "Send missed events"),
                            ("cancel_pending", "Cancel queued deliveries"),
                            ("send_now", "Try queued deliveries now"),
                            ("snapshot", "Send a snapshot"),
                            ("move", "Emit what moved along"),
                        ],
                        max_length=20,
                        verbose_name="kind",
                    ),
                ),
                ("since", models.DateTimeField(blank=True, null=True, verbose_name="since")),
                ("until", models.DateTimeField(blank=True, null=True, verbose_name="until")),
                (
                    "status",
                    models.CharField(
                        choices=[
                            ("pending", "Pending"),
                            ("running", "Running"),
                            ("finished", "Finished"),
                            ("failed", "Failed"),
                        ],
                        default="pending",
                        max_length=10,
                        verbose_name="status",
                    ),
                ),
                ("total", models.PositiveIntegerField(default=0, verbose_name="total")),
                ("done", models.PositiveIntegerField(default=0, verbose_name="done")),
                ("position", models.BigIntegerField(default=0, editable=False)),
                ("nouns", models.JSONField(blank=True, default=list, verbose_name="nouns")),
                ("selection", models.JSONField(blank=True, default=dict, editable=False)),
                ("cursor", models.TextField(blank=True, default="", editable=False)),
                ("source", models.CharField(blank=True, default="", editable=False, max_length=200)),
                ("key", models.TextField(blank=True, default="", editable=False)),
                ("skipped", models.PositiveIntegerField(default=0, verbose_name="skipped")),
                (
                    "moved",
                    models.JSONField(
                        blank=True,
                        default=dict,
                        editable=False,
                        encoder=django.core.serializers.json.DjangoJSONEncoder,
                    ),
                ),
                ("requested_by", models.CharField(blank=True, default="", max_length=100, verbose_name="requested by")),
                ("error", models.CharField(blank=True, default="", max_length=500, verbose_name="error")),
                ("created_at", models.DateTimeField(verbose_name="created at")),
                ("finished_at", models.DateTimeField(null=True, verbose_name="finished at")),
                (
                    "webhook",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="jobs",
                        to="tms_webhooks.webhook",
                        verbose_name="webhook",
                    ),
                ),
            ],
            options={
                "verbose_name": "job",
                "verbose_name_plural": "jobs",
                "ordering": ("-pk",),
                "indexes": [
                    models.Index(
                        condition=models.Q(("status__in", ("pending", "running"))),
                        fields=["status"],
                        name="tms_job_unfinished",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="DeliveryTotal",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("span", models.PositiveSmallIntegerField(choices=[(1, "Hour"), (24, "Day")])),
                ("starts_at", models.DateTimeField()),
                ("delivered", models.PositiveIntegerField(default=0)),
                ("retried", models.PositiveIntegerField(default=0)),
                ("given_up", models.PositiveIntegerField(default=0)),
                ("took_10", models.PositiveIntegerField(default=0)),
                ("took_20", models.PositiveIntegerField(default=0)),
                ("took_40", models.PositiveIntegerField(default=0)),
                ("took_80", models.PositiveIntegerField(default=0)),
                ("took_160", models.PositiveIntegerField(default=0)),
                ("took_320", models.PositiveIntegerField(default=0)),
                ("took_640", models.PositiveIntegerField(default=0)),
                ("took_1280", models.PositiveIntegerField(default=0)),
                ("took_2560", models.PositiveIntegerField(default=0)),
                ("took_5120", models.PositiveIntegerField(default=0)),
                ("took_10240", models.PositiveIntegerField(default=0)),
                ("took_longer", models.PositiveIntegerField(default=0)),
                ("lag_10", models.PositiveIntegerField(default=0)),
                ("lag_30", models.PositiveIntegerField(default=0)),
                ("lag_100", models.PositiveIntegerField(default=0)),
                ("lag_300", models.PositiveIntegerField(default=0)),
                ("lag_1000", models.PositiveIntegerField(default=0)),
                ("lag_3000", models.PositiveIntegerField(default=0)),
                ("lag_10000", models.PositiveIntegerField(default=0)),
                ("lag_30000", models.PositiveIntegerField(default=0)),
                ("lag_45000", models.PositiveIntegerField(default=0)),
                ("lag_120000", models.PositiveIntegerField(default=0)),
                ("lag_600000", models.PositiveIntegerField(default=0)),
                ("lag_3600000", models.PositiveIntegerField(default=0)),
                ("lag_longer", models.PositiveIntegerField(default=0)),
                (
                    "webhook",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="totals",
                        to="tms_webhooks.webhook",
                    ),
                ),
            ],
            options={
                "indexes": [
                    models.Index(fields=["span", "starts_at"], name="tms_total_by_age"),
                ],
                "constraints": [
                    models.UniqueConstraint(fields=("webhook", "span", "starts_at"), name="tms_total_once_per_span"),
                ],
            },
        ),
        migrations.CreateModel(
            name="AuditEntry",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("uid", models.UUIDField(default=uuid.uuid4, editable=False, unique=True, verbose_name="id")),
                ("at", models.DateTimeField(verbose_name="at")),
                (
                    "actor_kind",
                    models.CharField(
                        choices=[
                            ("user", "User"),
                            ("administrator", "Administrator"),
                            ("api", "API"),
                            ("system", "System"),
                            ("reconcile", "Reconciliation"),
                        ],
                        max_length=20,
                        verbose_name="actor kind",
                    ),
                ),
                ("actor_id", models.CharField(blank=True, default="", max_length=64, verbose_name="actor id")),
                ("actor_label", models.CharField(blank=True, default="", max_length=150, verbose_name="actor")),
                (
                    "action",
                    models.CharField(
                        choices=[
                            ("webhook.created", "Webhook created"),
                            ("webhook.updated", "Webhook changed"),
                            ("webhook.deleted", "Webhook deleted"),
                            ("webhook.enabled", "Webhook enabled"),
                            ("webhook.disabled", "Webhook disabled"),
                            ("webhook.tested", "Webhook tested"),
                            ("secret.rotated", "Secret rotated"),
                            ("secret.revealed", "Secret revealed"),
                            ("secret.expired", "Secret expired"),
                            ("subscription.created", "Subscription created"),
                            ("subscription.updated", "Subscription changed"),
                            ("subscription.deleted", "Subscription deleted"),
                            ("delivery.resent", "Delivery resent"),
                            ("delivery.sent_now", "Delivery sent now"),
                            ("job.started", "Job started"),
                        ],
                        max_length=30,
                        verbose_name="action",
                    ),
                ),
                (
                    "target",
                    models.CharField(
                        help_text="The changed object, such as delivery:dlv_….", max_length=100, verbose_name="target"
                    ),
                ),
                (
                    "changes",
                    models.JSONField(
                        blank=True,
                        default=dict,
                        encoder=django.core.serializers.json.DjangoJSONEncoder,
                        verbose_name="changes",
                    ),
                ),
                (
                    "organization",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="+",
                        to=organization_model(),
                        verbose_name="organization",
                    ),
                ),
                (
                    "webhook",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="audit_log",
                        to="tms_webhooks.webhook",
                        verbose_name="webhook",
                    ),
                ),
            ],
            options={
                "verbose_name": "audit entry",
                "verbose_name_plural": "audit entries",
                "ordering": ("-pk",),
                "indexes": [
                    models.Index(fields=["organization", "id"], name="tms_audit_by_organization"),
                    models.Index(fields=["webhook", "id"], name="tms_audit_by_webhook"),
                    models.Index(fields=["at", "id"], name="tms_audit_by_time"),
                ],
            },
        ),
        migrations.CreateModel(
            name="WebhookState",
            fields=[
                (
                    "webhook",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.CASCADE,
                        primary_key=True,
                        related_name="state",
                        serialize=False,
                        to="tms_webhooks.webhook",
                    ),
                ),
                ("lease", models.CharField(blank=True, default="", max_length=36)),
                ("leased_until", models.DateTimeField(null=True)),
                ("served_at", models.DateTimeField(null=True)),
                (
                    "failures",
                    models.PositiveIntegerField(default=0),
                ),
                ("failing_since", models.DateTimeField(null=True)),
                ("succeeded_at", models.DateTimeField(null=True)),
                ("paused_until", models.DateTimeField(null=True)),
                ("pauses", models.PositiveSmallIntegerField(default=0)),
                (
                    "failing_delivery",
                    models.BigIntegerField(null=True),
                ),
                ("held_until", models.DateTimeField(null=True)),
                (
                    "hold_reason",
                    models.CharField(
                        blank=True,
                        choices=[("retry_after", "Retry-After"), ("keys", "Encryption keys")],
                        default="",
                        max_length=12,
                    ),
                ),
                (
                    "warned_percent",
                    models.PositiveSmallIntegerField(default=0),
                ),
                ("failed_at", models.DateTimeField(null=True)),
                ("failed_with", models.CharField(blank=True, default="", max_length=20)),
                ("given_up_at", models.DateTimeField(null=True)),
                (
                    "notified_of",
                    models.CharField(
                        blank=True,
                        choices=[
                            ("given_up", "Delivery given up"),
                            ("failing", "Failing"),
                            ("failing_for_a_day", "Failing for a day"),
                            ("disabled", "Disabled"),
                            ("recovered", "Recovered"),
                        ],
                        default="",
                        max_length=20,
                    ),
                ),
                ("notified_at", models.DateTimeField(null=True)),
                ("tokens", models.FloatField(default=0.0)),
                ("tokens_at", models.DateTimeField(null=True)),
            ],
            options={
                "indexes": [
                    models.Index(condition=models.Q(("lease__gt", "")), fields=["lease"], name="tms_webhook_leased"),
                    models.Index(
                        condition=models.Q(
                            ("failing_since__isnull", False),
                            ("given_up_at__isnull", False),
                            models.Q(("notified_of", ""), _negated=True),
                            _connector="OR",
                        ),
                        fields=["notified_of"],
                        name="tms_webhook_noticeable",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="WebhookSecret",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("uid", models.UUIDField(default=uuid.uuid4, editable=False, unique=True, verbose_name="id")),
                ("value", tms_webhooks.models.encryption.EncryptedTextField(verbose_name="value")),
                ("created_at", models.DateTimeField(auto_now_add=True, verbose_name="created at")),
                ("expires_at", models.DateTimeField(blank=True, null=True, verbose_name="expires at")),
                (
                    "webhook",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="secrets",
                        to="tms_webhooks.webhook",
                        verbose_name="webhook",
                    ),
                ),
            ],
            options={
                "verbose_name": "webhook secret",
                "verbose_name_plural": "webhook secrets",
                "constraints": [
                    models.UniqueConstraint(
                        condition=models.Q(("expires_at__isnull", True)),
                        fields=("webhook",),
                        name="tms_webhook_one_current_secret",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="DeliveryAttempt",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("number", models.PositiveIntegerField(null=True, verbose_name="number")),
                ("charged", models.BooleanField(default=True, verbose_name="charged")),
                ("started_at", models.DateTimeField(verbose_name="started at")),
                ("duration_ms", models.PositiveIntegerField(verbose_name="duration (ms)")),
                ("status_code", models.PositiveSmallIntegerField(null=True, verbose_name="status code")),
                (
                    "error_class",
                    models.CharField(
                        blank=True,
                        choices=[
                            ("http_status", "Unsuccessful status"),
                            ("dns_error", "Name not resolved"),
                            ("connection_refused", "Connection refused"),
                            ("connection_reset", "Connection reset"),
                            ("network_unreachable", "Network unreachable"),
                            ("timeout", "Timed out"),
                            ("tls_error", "TLS error"),
                            ("proxy_error", "Proxy error"),
                            ("token_error", "No access token"),
                            ("blocked_address", "Blocked address"),
                            ("invalid_url", "Invalid URL"),
                            ("body_too_large", "Body too large"),
                            ("secret_unreadable", "Secret unreadable"),
                            ("keys_missing", "Encryption key missing"),
                            ("render_failed", "Body not rendered"),
                            ("other", "Other"),
                        ],
                        default="",
                        max_length=20,
                        verbose_name="error",
                    ),
                ),
                ("message", models.CharField(blank=True, default="", max_length=500, verbose_name="message")),
                (
                    "response_headers",
                    models.TextField(blank=True, default="", verbose_name="response headers"),
                ),
                ("response_body", models.TextField(blank=True, default="", verbose_name="response body")),
                ("next_delay", models.FloatField(null=True, verbose_name="next delay (s)")),
                (
                    "delay_reason",
                    models.CharField(
                        blank=True,
                        choices=[
                            ("schedule", "Schedule"),
                            ("retry_after", "Retry-After"),
                            ("timeout_penalty", "Timeout penalty"),
                            ("throttle", "Throttle"),
                            ("proxy", "Proxy"),
                            ("breaker", "Hold"),
                        ],
                        default="",
                        max_length=20,
                        verbose_name="delay reason",
                    ),
                ),
                (
                    "timing",
                    models.CharField(blank=True, default="", max_length=60, verbose_name="timing"),
                ),
                ("request", models.TextField(blank=True, default="")),
                (
                    "delivery",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="attempt_log",
                        to="tms_webhooks.delivery",
                        verbose_name="delivery",
                    ),
                ),
            ],
            options={
                "verbose_name": "attempt",
                "verbose_name_plural": "attempts",
                "ordering": ("pk",),
                "indexes": [
                    models.Index(fields=["started_at"], name="tms_attempt_by_age"),
                ],
                "constraints": [
                    models.UniqueConstraint(fields=("delivery", "number"), name="tms_attempt_number_once"),
                ],
            },
        ),
        migrations.CreateModel(
            name="FirstOccurrence",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("event_type", models.CharField(max_length=100)),
                ("subject_type", models.CharField(max_length=50)),
                ("subject_id", tms_webhooks.models.event.ExactCharField(max_length=64)),
                ("event_id", models.BigIntegerField(db_index=True)),
                (
                    "subscription",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="+",
                        to="tms_webhooks.subscription",
                    ),
                ),
            ],
            options={
                "constraints": [
                    models.UniqueConstraint(
                        fields=("subscription", "event_type", "subject_type", "subject_id"),
                        name="tms_first_once_per_subject",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="Notification",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "kind",
                    models.CharField(
                        choices=[
                            ("given_up", "Delivery given up"),
                            ("failing", "Failing"),
                            ("failing_for_a_day", "Failing for a day"),
                            ("disabled", "Disabled"),
                            ("recovered", "Recovered"),
                        ],
                        max_length=20,
                        verbose_name="kind",
                    ),
                ),
                (
                    "channel",
                    models.CharField(
                        choices=[("email", "E-mail"), ("slack", "Slack"), ("teams", "Microsoft Teams")],
                        max_length=10,
                        verbose_name="channel",
                    ),
                ),
                ("recipients", models.TextField(blank=True, default="", verbose_name="recipients")),
                ("message", models.UUIDField(default=uuid.uuid4, editable=False)),
                ("since", models.DateTimeField(verbose_name="since")),
                (
                    "status",
                    models.CharField(
                        choices=[
                            ("pending", "Pending"),
                            ("sending", "Sending, or interrupted"),
                            ("sent", "Sent"),
                            ("failed", "Failed"),
                        ],
                        default="pending",
                        max_length=10,
                        verbose_name="status",
                    ),
                ),
                ("attempts", models.PositiveSmallIntegerField(default=0, verbose_name="attempts")),
                ("due_at", models.DateTimeField(null=True, verbose_name="due at")),
                ("created_at", models.DateTimeField(verbose_name="created at")),
                ("finished_at", models.DateTimeField(null=True, verbose_name="finished at")),
                ("error", models.CharField(blank=True, default="", max_length=200, verbose_name="error")),
                (
                    "webhook",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="notifications",
                        to="tms_webhooks.webhook",
                        verbose_name="webhook",
                    ),
                ),
            ],
            options={
                "verbose_name": "notification",
                "verbose_name_plural": "notifications",
                "ordering": ("-pk",),
                "default_permissions": (),
                "indexes": [
                    models.Index(fields=["webhook", "id"], name="tms_notification_by_webhook"),
                    models.Index(fields=["message"], name="tms_notification_of_message"),
                    models.Index(
                        condition=models.Q(("due_at__isnull", False)), fields=["due_at"], name="tms_notification_due"
                    ),
                    models.Index(fields=["created_at", "id"], name="tms_notification_by_age"),
                ],
            },
        ),
    ]
