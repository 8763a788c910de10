"""A noun of the host's own with its events."""

from __future__ import annotations

from tms_webhooks import catalogue
from tms_webhooks.catalogue import EventType, Field, FieldKind, FieldPrivacy, Noun, references

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
        details=(Field("verified_by", FieldKind.STRING, FieldPrivacy.PERSONAL, doc="Who checked it."),),
    )
)
