"""The routes by which a host changes a row: the ORM's verbs, Django's admin, and REST framework's serializers.

A route to change is called with an object and its new values, a route to create with a model and the values, a route to
delete with an object. Each reads the object anew, so that no test passes by what another object in memory knows.
"""

from django.db import models
from django.test import Client
from django.urls import reverse
from rest_framework import serializers, viewsets
from rest_framework.permissions import AllowAny
from rest_framework.test import APIRequestFactory

from tests.hosts.models import Member, Tenant


def _changed(obj, values):
    found = type(obj)._base_manager.get(pk=obj.pk)
    for name, value in values.items():
        setattr(found, name, value)
    return found


CHANGES = {
    "save": lambda obj, **values: _changed(obj, values).save(),
    "update_fields": lambda obj, **values: _changed(obj, values).save(update_fields=list(values)),
    "update": lambda obj, **values: type(obj)._default_manager.filter(pk=obj.pk).update(**values),
    "bulk_update": lambda obj, **values: type(obj)._default_manager.bulk_update([_changed(obj, values)], list(values)),
    "update_or_create": lambda obj, **values: type(obj)._default_manager.update_or_create(pk=obj.pk, defaults=values),
    "admin": lambda obj, **values: _post_admin_form(type(obj), "change", values, obj.pk),
    "REST": lambda obj, **values: _rest(type(obj), {"patch": "partial_update"}, values, pk=obj.pk),
}
CREATIONS = {
    "create": lambda model, **values: model._default_manager.create(**values),
    "bulk_create": lambda model, **values: model._default_manager.bulk_create([model(**values)]),
    "get_or_create": lambda model, **values: model._default_manager.get_or_create(**values),
    "admin": lambda model, **values: _post_admin_form(model, "add", values),
    "REST": lambda model, **values: _rest(model, {"post": "create"}, values),
}
DELETIONS = {
    "delete": lambda obj: _changed(obj, {}).delete(),
    "delete of a queryset": lambda obj: type(obj)._default_manager.filter(pk=obj.pk).delete(),
    "admin": lambda obj: _post(_client(), _admin_url(type(obj), "delete", obj.pk), {"post": "yes"}),
    "admin action": lambda obj: _post(
        _client(),
        _admin_url(type(obj), "changelist"),
        {"action": "delete_selected", "_selected_action": [str(obj.pk)], "post": "yes"},
    ),
    "REST": lambda obj: _rest(type(obj), {"delete": "destroy"}, {}, pk=obj.pk),
}


# Django's admin


def _client():
    client = Client()
    operators, _created = Tenant.objects.get_or_create(name="Operators")
    client.force_login(Member.objects.get_or_create(email="admin@example.com", tenant=operators)[0])
    return client


def _admin_url(model, view, *args):
    return reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_{view}", args=args)


def _post(client, url, values):
    response = client.post(url, values)
    assert response.status_code == 302, response.context["errors"]


def _post_admin_form(model, view, values, *args):
    """Fill in the page's form with ``values``, leave the rest as it is, and save it."""
    url, client = _admin_url(model, view, *args), _client()
    context = client.get(url).context
    own = context["adminform"].form
    forms = [own]
    for inline in context["inline_admin_formsets"]:
        forms += [inline.formset.management_form, *inline.formset.forms]
    data = {}
    for field in (field for form in forms for field in form):
        data |= _as_data(field.field, field.html_name, field.value())
    for name, value in values.items():
        # Names that the form lacks are of inline forms.
        data |= _as_data(own.fields[name], name, value) if name in own.fields else {name: value}
    _post(client, url, {name: value for name, value in data.items() if value is not None and value is not False})


def _as_data(field, name, value):
    decompress = getattr(field.widget, "decompress", None)
    if decompress is not None:
        return {f"{name}_{n}": part for n, part in enumerate(decompress(value))}
    return {name: value.pk if isinstance(value, models.Model) else value}


# REST framework


def _rest(model, actions, values, **kwargs):
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
