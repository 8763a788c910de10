"""System checks: ``manage.py check`` reports a wrong configuration, with the remedy.

`messages.MEANINGS` lists each id with its meaning. Checks that matter only in production run with ``check --deploy``,
and those that read rows of the host with ``check --database``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

from django.core.checks import CheckMessage

from tms_webhooks.checks import (
    deploy,
    environment,
    managers,
    organizations,
    settings,
    sources,
    statuses,
    values,
)

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
    values.check_organizations,
    environment.check_contacts,
    environment.check_queue,
    environment.check_sqlite,
    environment.check_middleware,
    environment.check_time_zones,
    sources.check_sources,
    sources.check_databases,
    managers.check_managers,
)
SITE_CHECKS = (environment.check_customer_site, sources.check_samples)
DEPLOY_CHECKS = (
    deploy.check_encryption_keys,
    deploy.check_targets,
    deploy.check_strictness,
    deploy.check_clock,
    deploy.check_transport,
    deploy.check_interpreter,
    deploy.check_stored_secrets,
    environment.check_recipients,
    environment.check_sender,
)
DATABASE_CHECKS = (statuses.check_rows,)
GROUPS: Mapping[str, Sequence[Callable[..., Iterable[CheckMessage]]]] = {
    "work": CHECKS,
    "pages": SITE_CHECKS,
    "deploy": DEPLOY_CHECKS,
    "rows": DATABASE_CHECKS,
}
"""The checks by the occasion at which they run. `tms_webhooks.apps` registers each group."""

__all__ = ["CHECKS", "DATABASE_CHECKS", "DEPLOY_CHECKS", "GROUPS", "SITE_CHECKS"]
