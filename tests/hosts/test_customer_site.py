"""The customers' site of a host with a user model of its own, UUIDs as keys, and the webhooks in a second database."""

from django.test import Client
from django.urls import include, path

from tests.hosts.models import Member, Tenant
from tms_webhooks.access import AccessPolicy
from tms_webhooks.admin import CustomerSite, customer_link

urlpatterns = [path("customers/", CustomerSite().urls), path("", include("tests.hosts.urls"))]


class OwnTenant(AccessPolicy):
    """Lets each member do everything for the own tenant."""

    def organizations(self, request, action):
        return Tenant.objects.filter(pk=request.user.tenant_id)


def test_a_link_opens_the_pages_of_the_tenant(settings, settings_of_app, tenant, member):
    settings.ROOT_URLCONF = __name__
    settings_of_app(ACCESS_POLICY=f"{__name__}.OwnTenant")
    other = Tenant.objects.create(name="Other")
    stranger = Member.objects.create(email="mallory@example.com", given_name="Mallory", tenant=other)
    pages = {}
    for user in (member, stranger):
        client = Client()
        opened = client.get(customer_link(user, tenant, path="tms_webhooks/webhook/"))
        assert opened.status_code == 302
        pages[user] = client.get(opened["Location"])
        assert client.get("/admin/").status_code == 302

    assert "<title>Webhooks | Webhooks</title>" in pages[member].content.decode()
    assert pages[stranger].status_code == 403
