"""System checks: ``manage.py check`` reports a wrong configuration, with the remedy.

docs/reference/checks.md lists each id with its meaning. Checks that matter only in production run with ``check --deploy``,
and those that ask a database with ``check --database`` and before ``migrate``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

from django.core.checks import CheckMessage

from tms_webhooks.checks import environment, paths, settings, sources, values

GROUPS: Mapping[str, Sequence[Callable[..., Iterable[CheckMessage]]]] = {
    "work": (
        settings.check_names_and_values,
        settings.check_values,
        settings.check_packages,
        settings.check_organization_model,
        values.check_organizations,
        environment.check_queue,
        environment.check_databases,
        environment.check_django_settings,
        sources.check_sources,
        paths.check_managers,
    ),
    "deploy": (
        environment.check_keys,
        environment.check_targets,
        environment.check_transport,
        environment.check_notifications,
        values.check_references,
    ),
    "rows": (environment.check_returning, sources.check_rows),
}
"""The checks by the occasion at which they run. `tms_webhooks.apps` registers each group."""
