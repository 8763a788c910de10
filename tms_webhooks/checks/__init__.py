"""System checks: ``manage.py check`` reports a wrong configuration, with the remedy.

`messages.MEANINGS` lists each id with its meaning. Checks that matter only in production run with ``check --deploy``,
and those that read rows of the host with ``check --database``.
"""

from __future__ import annotations

from django.core.checks import Tags, register

from tms_webhooks.checks import (
    custom,
    customer_site,
    deploy,
    environment,
    managers,
    notifications,
    nulls,
    organizations,
    settings,
    sources,
    statuses,
)
from tms_webhooks.conf import COMMAND_CHECKS

TAG = "webhooks"
"""The tag with which ``check --tag`` runs these checks alone."""

CHECKS = (
    settings.check_names_and_values,
    settings.check_stray_settings,
    settings.check_formats,
    settings.check_access_policy,
    settings.check_contradictions,
    settings.check_transport,
    settings.check_proxy,
    settings.check_telemetry,
    settings.check_metrics_folder,
    settings.check_organization_model,
    organizations.check_tree,
    nulls.check_organizations,
    notifications.check_contacts,
    environment.check_queue,
    environment.check_sqlite,
    environment.check_middleware,
    environment.check_time_zones,
    sources.check_sources,
    sources.check_databases,
    managers.check_managers,
)
SITE_CHECKS = (customer_site.check_customer_site, custom.check_samples)
"""Of pages and documents: commands leave them out, because they load the project's URLs and what these import."""
DEPLOY_CHECKS = (
    deploy.check_encryption_keys,
    deploy.check_targets,
    deploy.check_strictness,
    deploy.check_clock,
    deploy.check_transport,
    deploy.check_interpreter,
    deploy.check_stored_secrets,
    notifications.check_recipients,
    notifications.check_sender,
)
DATABASE_CHECKS = (statuses.check_rows,)

__all__ = ["CHECKS", "DATABASE_CHECKS", "DEPLOY_CHECKS", "SITE_CHECKS", "TAG", "register_all"]


def register_all() -> None:
    """Register all checks of the app. Idempotent."""
    for check in CHECKS:
        register(check, TAG, COMMAND_CHECKS)
    for check in SITE_CHECKS:
        register(check, TAG)
    for check in DEPLOY_CHECKS:
        register(check, TAG, Tags.security, deploy=True)
    # Without `TAG`: Django 6.1 passes all databases to the checks of a tag that is asked for.
    for check in DATABASE_CHECKS:
        register(check, Tags.database)
