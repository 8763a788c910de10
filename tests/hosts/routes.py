"""The routes by which a host changes a row: the ORM's verbs, Django's admin, and REST framework's serializers.

A route to change is called with an object and its new values, a route to create with a model and the values, a route to
delete with an object. Each reads the object anew, so that no test passes by what another object in memory knows.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from django.contrib import admin
from django.db import models
from django.forms import BaseForm, Field
from django.test import Client
from django.urls import reverse
from rest_framework import serializers, viewsets
from rest_framework.permissions import AllowAny
from rest_framework.test import APIRequestFactory

from tests.hosts.models import Member, Tenant

Change = Callable[..., None]


def _save(obj: models.Model, **values: Any) -> None:
    found = _again(obj)
    _assign(found, values)
    found.save()


def _save_named(obj: models.Model, **values: Any) -> None:
    found = _again(obj)
    _assign(found, values)
    found.save(update_fields=list(values))


def _update(obj: models.Model, **values: Any) -> None:
    type(obj)._default_manager.filter(pk=obj.pk).update(**values)


def _bulk_update(obj: models.Model, **values: Any) -> None:
    found = _again(obj)
    _assign(found, values)
    type(obj)._default_manager.bulk_update([found], list(values))


def _update_or_create(obj: models.Model, **values: Any) -> None:
    type(obj)._default_manager.update_or_create(pk=obj.pk, defaults=values)


def _admin_change(obj: models.Model, **values: Any) -> None:
    _post_admin_form(type(obj), "change", values, obj.pk)


def _rest_patch(obj: models.Model, **values: Any) -> None:
    _rest(type(obj), {"patch": "partial_update"}, values, pk=obj.pk)


CHANGES: Mapping[str, Change] = {
    "save": _save,
    "update_fields": _save_named,
    "update": _update,
    "bulk_update": _bulk_update,
    "update_or_create": _update_or_create,
    "admin": _admin_change,
    "REST": _rest_patch,
}


def _create(model: type[models.Model], **values: Any) -> None:
    model._default_manager.create(**values)


def _bulk_create(model: type[models.Model], **values: Any) -> None:
    model._default_manager.bulk_create([model(**values)])


def _get_or_create(model: type[models.Model], **values: Any) -> None:
    model._default_manager.get_or_create(**values)


def _admin_add(model: type[models.Model], **values: Any) -> None:
    _post_admin_form(model, "add", values)


def _rest_post(model: type[models.Model], **values: Any) -> None:
    _rest(model, {"post": "create"}, values)


CREATIONS: Mapping[str, Change] = {
    "create": _create,
    "bulk_create": _bulk_create,
    "get_or_create": _get_or_create,
    "admin": _admin_add,
    "REST": _rest_post,
}


def _delete(obj: models.Model) -> None:
    _again(obj).delete()


def _delete_by_queryset(obj: models.Model) -> None:
    type(obj)._default_manager.filter(pk=obj.pk).delete()


def _admin_delete(obj: models.Model) -> None:
    response = _client().post(_admin_url(type(obj), "delete", obj.pk), {"post": "yes"})
    assert response.status_code == 302, response.content


def _admin_delete_selected(obj: models.Model) -> None:
    values = {"action": "delete_selected", "_selected_action": [str(obj.pk)], "post": "yes"}
    response = _client().post(_admin_url(type(obj), "changelist"), values)
    assert response.status_code == 302, response.content


def _rest_delete(obj: models.Model) -> None:
    _rest(type(obj), {"delete": "destroy"}, {}, pk=obj.pk)


DELETIONS: Mapping[str, Change] = {
    "delete": _delete,
    "delete of a queryset": _delete_by_queryset,
    "admin": _admin_delete,
    "admin action": _admin_delete_selected,
    "REST": _rest_delete,
}


def _again(obj: models.Model) -> models.Model:
    return type(obj)._base_manager.get(pk=obj.pk)


def _assign(obj: models.Model, values: Mapping[str, Any]) -> None:
    for name, value in values.items():
        setattr(obj, name, value)


# Django's admin


def _client() -> Client:
    client = Client()
    operators, _created = Tenant.objects.get_or_create(name="Operators")
    client.force_login(Member.objects.get_or_create(email="admin@example.com", tenant=operators)[0])
    return client


def _admin_url(model: type[models.Model], view: str, *args: Any) -> str:
    return reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_{view}", args=args)


def _post_admin_form(model: type[models.Model], view: str, values: Mapping[str, Any], *args: Any) -> None:
    """Fill in the page's form with ``values``, leave the rest as it is, and save it."""
    url, client = _admin_url(model, view, *args), _client()
    context = client.get(url).context
    own = context["adminform"].form
    data = _form_data(own)
    for inline in context["inline_admin_formsets"]:
        data |= _form_data(inline.formset.management_form)
        for form in inline.formset.forms:
            data |= _form_data(form)
    for name, value in values.items():
        # Names that the form lacks are of inline forms.
        data |= _as_data(own.fields[name], name, value) if name in own.fields else {name: value}
    given = {name: value for name, value in data.items() if value is not None and value is not False}
    response = client.post(url, given)
    assert response.status_code == 302, response.context["errors"]


def _form_data(form: BaseForm) -> dict[str, Any]:
    data: dict[str, Any] = {}
    for field in form:
        data |= _as_data(field.field, field.html_name, field.value())
    return data


def _as_data(field: Field, name: str, value: Any) -> dict[str, Any]:
    decompress = getattr(field.widget, "decompress", None)
    if decompress is not None:
        return {f"{name}_{n}": part for n, part in enumerate(decompress(value))}
    return {name: value.pk if isinstance(value, models.Model) else value}


# REST framework


def _rest(model: type[models.Model], actions: Mapping[str, str], values: Mapping[str, Any], **kwargs: Any) -> None:
    meta = type("Meta", (), {"model": model, "fields": "__all__"})
    serializer = type("RowSerializer", (serializers.ModelSerializer,), {"Meta": meta})
    view = viewsets.ModelViewSet.as_view(
        actions,
        queryset=model._default_manager.all(),
        serializer_class=serializer,
        permission_classes=[AllowAny],
        authentication_classes=[],
    )
    data = {name: value.pk if isinstance(value, models.Model) else value for name, value in values.items()}
    (method,) = actions
    response = view(getattr(APIRequestFactory(), method)("/", data, format="json"), **kwargs)
    assert response.status_code < 300, response.data


def register_in_admin(*model_classes: type[models.Model], inlines: tuple[type[models.Model], ...] = ()) -> None:
    """Register models in Django's admin, with the rows of ``inlines`` on their pages."""
    tabular = [type(f"{one.__name__}Inline", (admin.TabularInline,), {"model": one, "extra": 1}) for one in inlines]
    for model in model_classes:
        admin.site.register(model, type(f"{model.__name__}Admin", (admin.ModelAdmin,), {"inlines": tabular}))
