"""Actions of lists and detail pages: a record's own verb, after a page that asks for confirmation."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django import forms
from django.contrib import messages
from django.contrib.admin import ModelAdmin
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.db import transaction
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse

from example_project.training.exceptions import RefusedError

AdminAction = Callable[[ModelAdmin, HttpRequest, QuerySet[Any]], HttpResponse | None]


def confirmed(verb: Callable[..., object], *, label: str, asks: tuple[str, ...] = ()) -> AdminAction:
    """Make an admin action that asks for confirmation, calls ``verb`` with each record, and reports refusals.

    ``label`` is an imperative, such as *Cancel*. The page also asks for the relations in ``asks``, which ``verb`` gets
    as keyword arguments.
    """

    def action(model_admin: ModelAdmin, request: HttpRequest, queryset: QuerySet[Any]) -> HttpResponse | None:
        form = _form(model_admin, request, asks)
        if not form.is_valid():
            return _ask(model_admin, request, queryset, label, form)
        _carry_out(model_admin, request, queryset, lambda record: verb(record, **form.cleaned_data))
        # Only a detail page sends the key of its record.
        key = request.POST.get("detail")
        return redirect(f"admin:{model_admin.opts.label_lower.replace('.', '_')}_change", key) if key else None

    action.__name__ = label.lower().replace(" ", "_").replace("-", "_")
    action.label = label  # type: ignore[attr-defined]
    action.short_description = f"{label} selected %(verbose_name_plural)s"  # type: ignore[attr-defined]
    action.allowed_permissions = ("change",)  # type: ignore[attr-defined]
    return action


def _form(model_admin: ModelAdmin, request: HttpRequest, asks: tuple[str, ...]) -> forms.Form:
    """Return the form of the confirmation, which is filled in once the person has confirmed."""
    fields = {
        name: model_admin.formfield_for_foreignkey(model_admin.opts.get_field(name), request, required=True)
        for name in asks
    }
    return type("Confirmation", (forms.Form,), fields)(request.POST if "confirmed" in request.POST else None)


def _ask(
    model_admin: ModelAdmin, request: HttpRequest, queryset: QuerySet[Any], label: str, form: forms.Form
) -> TemplateResponse:
    context = {
        **model_admin.admin_site.each_context(request),
        "title": f"{label} {_counted(model_admin, len(queryset))}?",
        "opts": model_admin.opts,
        "media": model_admin.media + form.media,
        "records": queryset,
        "form": form,
        "action": request.POST["action"],
        "detail": request.POST.get("detail", ""),
        "checkbox": ACTION_CHECKBOX_NAME,
    }
    return TemplateResponse(request, "admin/training/confirm.html", context)


def _carry_out(
    model_admin: ModelAdmin, request: HttpRequest, queryset: QuerySet[Any], verb: Callable[[Any], object]
) -> None:
    """Call ``verb`` with each record as it is now: another person may have changed it since the page was shown."""
    done = 0
    chosen = model_admin.model._default_manager.filter(pk__in=queryset.order_by().values("pk"))
    with transaction.atomic():
        for record in chosen.select_for_update().order_by("pk"):
            try:
                if not model_admin.has_change_permission(request, record):
                    raise RefusedError(f"You may not change {record}.")
                with transaction.atomic():
                    verb(record)
            except RefusedError as error:
                model_admin.message_user(request, str(error), messages.WARNING)
            else:
                done += 1
    if done:
        model_admin.message_user(request, f"{_counted(model_admin, done)} changed.", messages.SUCCESS)


def _counted(model_admin: ModelAdmin, number: int) -> str:
    options = model_admin.opts
    return f"{number} {options.verbose_name if number == 1 else options.verbose_name_plural}"
