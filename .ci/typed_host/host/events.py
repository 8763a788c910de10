"""A noun of the host's own with its events, and an older version of one of them."""

from __future__ import annotations

from typing import Any

from tms_webhooks import catalogue
from tms_webhooks.catalogue import EventType, Field, FieldKind, FieldPrivacy, Noun, OlderVersion, references

CERTIFICATE = Noun(
    "certificate",
    "Certificate",
    (
        *references.identity("the certificate"),
        Field("title", FieldKind.STRING, FieldPrivacy.BASIC, required=True, doc="Title of the certificate."),
        Field("revoked_at", FieldKind.DATETIME, FieldPrivacy.BASIC, doc="When the certificate was revoked."),
        *references.learner(),
        *references.organization("the learner's organization"),
    ),
)

for verb, summary in {
    "issued": "A learner received a certificate.",
    "revoked": "A certificate was revoked.",
    "updated": "A certificate changed in something else.",
}.items():
    catalogue.register(EventType(f"certificate.{verb}", CERTIFICATE, summary))

catalogue.register(
    EventType(
        "certificate.verified",
        CERTIFICATE,
        "An employer checked a certificate.",
        version=2,
        extra=(Field("verified_by", FieldKind.STRING, FieldPrivacy.PERSONAL, doc="Who checked it."),),
    )
)


def as_version_1(event: dict[str, Any]) -> dict[str, Any]:
    """Return an event of version 2 as version 1, which did not name the employer."""
    return {**event, "data": {name: value for name, value in event["data"].items() if name != "verified_by"}}


catalogue.register_older(
    OlderVersion("certificate.verified", version=1, fields=CERTIFICATE.fields, convert=as_version_1)
)
