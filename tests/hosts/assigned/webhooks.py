"""The source of a class whose organization is assigned later."""

from tests.hosts.assigned.models import Proposal
from tms_webhooks import sources


@sources.register(Proposal)
class Proposals(sources.ClassSource):
    owner = sources.First("tenant", "program.tenant")
    fields = {"name": "title", "status": "state", "course": "topic"}
