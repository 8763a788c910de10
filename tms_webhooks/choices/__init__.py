"""Statuses and other closed lists, one module per subject. Each member has a docstring."""

from __future__ import annotations

from tms_webhooks.choices.access import Action, ActorKind, AuditAction
from tms_webhooks.choices.deliveries import (
    AttemptResult,
    DelayReason,
    DeliveryStatus,
    ErrorClass,
    JobKind,
    JobStatus,
    Priority,
    TotalSpan,
)
from tms_webhooks.choices.training import (
    ActivityType,
    AssignmentCompletion,
    AssignmentStatus,
    ClassStatus,
    CompletionStatus,
    DeliveryType,
    EnrollmentStatus,
    LocationType,
)
from tms_webhooks.choices.webhooks import (
    Audience,
    AuthenticationKind,
    CheckResult,
    ClientAuthentication,
    DisabledReason,
    ErrorAction,
    FieldPrivacy,
    HoldReason,
    PayloadDetail,
    PayloadFormat,
    Preset,
    Verb,
)

__all__ = [
    "Action",
    "ActivityType",
    "ActorKind",
    "AssignmentCompletion",
    "AssignmentStatus",
    "AttemptResult",
    "Audience",
    "AuditAction",
    "AuthenticationKind",
    "ClassStatus",
    "ClientAuthentication",
    "CompletionStatus",
    "DelayReason",
    "DeliveryStatus",
    "DeliveryType",
    "DisabledReason",
    "EnrollmentStatus",
    "ErrorAction",
    "ErrorClass",
    "FieldPrivacy",
    "HoldReason",
    "JobKind",
    "JobStatus",
    "LocationType",
    "Priority",
    "PayloadDetail",
    "PayloadFormat",
    "Preset",
    "TotalSpan",
    "Verb",
    "CheckResult",
]
